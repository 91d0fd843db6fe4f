// Reads a JSONL file line by line. A line that is wrong is reported and left out; nothing else is
// lost.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::curation {

// What is wrong with one line.
struct Problem {
  enum class Severity { kWarning, kError };
  int64_t line = 0;     // from 1
  std::string field;    // `messages[2].tool_calls[0].function.arguments`
  std::string code;     // "row_invalid", "line_too_long", "unknown_key"
  std::string message;  // for people, with the line
  Severity severity = Severity::kError;

  bool operator==(const Problem&) const = default;
};

enum class FileFormat { kUnknown, kChat, kPromptCompletion, kPreference, kCrossover, kOpaque };

struct ImportOptions {
  int64_t max_line_bytes = int64_t{16} << 20;
};

struct ImportSummary {
  int64_t rows = 0;       // good ones
  int64_t bad_lines = 0;  // left out
  int64_t warnings = 0;
  FileFormat format = FileFormat::kUnknown;  // of the first good row
};

// Calls `on_row` for each good row in order (origin.line is set) and `on_problem` for each problem;
// an error of either ends the import with that error. Empty lines are skipped; a byte-order mark
// and CR before the newline are taken off. Memory: one line.
absl::StatusOr<ImportSummary> ImportJsonl(
    const std::filesystem::path& path, const ImportOptions& options,
    const std::function<absl::Status(dataset::Row)>& on_row,
    const std::function<absl::Status(const Problem&)>& on_problem);

}  // namespace crossover::curation
