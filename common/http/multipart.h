// multipart/form-data as it arrives (RFC 7578, RFC 2046 §5.1): Beast has no reader for it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::http {

// One field of a form.
struct FormPart {
  std::string name;
  std::optional<std::string> filename;  // present for files
  std::string content_type;             // empty = none was given
};

// The boundary of a Content-Type header; INVALID_ARGUMENT FORMAT_INVALID if it is not
// multipart/form-data with one of 1 to 70 characters.
absl::StatusOr<std::string> BoundaryOf(std::string_view content_type);

// Not thread-safe. Keeps no more than a boundary and a part's head in memory.
class MultipartReader {
 public:
  // `begin` is called for each part, `data` with its bytes in any number of pieces. An error of
  // either ends the reading and is returned by Feed.
  MultipartReader(const std::string& boundary,
                  std::function<absl::Status(const FormPart& part)> begin,
                  std::function<absl::Status(std::string_view bytes)> data);

  // INVALID_ARGUMENT FORMAT_INVALID for what is no form.
  absl::Status Feed(std::string_view bytes);
  // After the last byte: INVALID_ARGUMENT FORMAT_INVALID if the closing boundary has not come.
  absl::Status Finish() const;

 private:
  enum class State { kPreamble, kAfterBoundary, kHead, kData, kEnd };

  // Does one thing with what is buffered; false if more bytes are needed.
  absl::StatusOr<bool> Step();
  absl::StatusOr<bool> SkipPreamble();
  absl::StatusOr<bool> AfterBoundary();
  absl::StatusOr<bool> ReadHead();
  absl::StatusOr<bool> ReadData();

  const std::string delimiter_;  // CRLF "--" boundary
  const std::function<absl::Status(const FormPart&)> begin_;
  const std::function<absl::Status(std::string_view)> data_;
  State state_ = State::kPreamble;
  bool at_blank_line_ = false;   // buffer_ begins with the end of the line after a head
  std::string buffer_ = "\r\n";  // the first boundary may stand at the very beginning
};

}  // namespace crossover::http
