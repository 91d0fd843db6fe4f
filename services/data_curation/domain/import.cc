#include "services/data_curation/domain/import.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/dataset/row_json.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/stdio_file.h"

namespace crossover::curation {
namespace {

// Lines of a file; one that is too long is cut and marked, and the next one is read as usual.
class LineReader {
 public:
  LineReader(std::FILE* file, size_t max_bytes)
      : file_(file), max_bytes_(max_bytes), chunk_(1 << 16) {}

  // False at the end. `too_long` says that the rest of the line was thrown away.
  bool Next(std::string& line, bool& too_long) {
    line.clear();
    too_long = false;
    bool any = false;
    while (true) {
      if (text_.empty()) {
        text_ = {chunk_.data(), std::fread(chunk_.data(), 1, chunk_.size(), file_)};
        if (text_.empty()) return any;
      }
      any = true;
      const size_t end = text_.find('\n');
      const std::string_view piece = text_.substr(0, end);
      if (line.size() + piece.size() > max_bytes_) too_long = true;
      if (!too_long) line.append(piece);
      text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
      if (end != std::string_view::npos) return true;
    }
  }

  bool failed() const { return std::ferror(file_) != 0; }

 private:
  std::FILE* file_;
  const size_t max_bytes_;
  std::vector<char> chunk_;
  std::string_view text_;
};

std::string_view Clean(std::string_view line, int64_t number) {
  if (number == 1 && line.substr(0, 3) == "\xef\xbb\xbf") line.remove_prefix(3);
  const size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

Problem FromStatus(const absl::Status& status, int64_t line) {
  const ErrorDetail detail = DetailOf(status);
  return {.line = line,
          .field = detail.violations.empty() ? "" : detail.violations[0].field,
          .code = "row_invalid",
          .message = std::string(ToStd(status.message()))};
}

// The form is told by the keys that only it has.
FileFormat FormatOf(std::string_view line, const dataset::Row& row) {
  if (!row.rejected.empty()) return FileFormat::kPreference;
  if (line.find("\"messages\"") != std::string_view::npos) return FileFormat::kChat;
  return FileFormat::kPromptCompletion;
}

}  // namespace

absl::StatusOr<ImportSummary> ImportJsonl(
    const std::filesystem::path& path, const ImportOptions& options,
    const std::function<absl::Status(dataset::Row)>& on_row,
    const std::function<absl::Status(const Problem&)>& on_problem) {
  const StdioFile file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) {
    return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                 absl::StrCat("cannot open ", path.string(), ": ", std::strerror(errno)));
  }
  LineReader reader(file.get(), options.max_line_bytes);
  ImportSummary summary;
  std::string line;
  bool too_long = false;
  for (int64_t number = 1; reader.Next(line, too_long); ++number) {
    if (too_long) {
      ++summary.bad_lines;
      RETURN_IF_ERROR(on_problem({.line = number,
                                  .code = "line_too_long",
                                  .message = absl::StrCat("line ", number, ": is longer than ",
                                                          options.max_line_bytes, " bytes")}));
      continue;
    }
    const std::string_view text = Clean(line, number);
    if (text.empty()) continue;
    absl::StatusOr<dataset::ParsedRow> parsed = dataset::ParseRowLine(text, number);
    if (!parsed.ok()) {
      ++summary.bad_lines;
      RETURN_IF_ERROR(on_problem(FromStatus(parsed.status(), number)));
      continue;
    }
    for (const dataset::RowWarning& warning : parsed->warnings) {
      ++summary.warnings;
      RETURN_IF_ERROR(on_problem(
          {.line = number,
           .field = warning.field,
           .code = "unknown_key",
           .message = absl::StrCat("line ", number, ": ", warning.field, " ", warning.description),
           .severity = Problem::Severity::kWarning}));
    }
    if (summary.rows == 0) summary.format = FormatOf(text, parsed->row);
    ++summary.rows;
    parsed->row.origin.line = number;
    RETURN_IF_ERROR(on_row(std::move(parsed->row)));
  }
  if (reader.failed()) {
    return Error(absl::StatusCode::kUnavailable, "FILE_READ_FAILED",
                 absl::StrCat("cannot read ", path.string()));
  }
  return summary;
}

}  // namespace crossover::curation
