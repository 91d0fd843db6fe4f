#include "common/http/multipart.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::http {
namespace {

constexpr size_t kMaxHead = 16 << 10;

absl::Status BadForm(const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat("the body is no multipart/form-data: ", what));
}

// A parameter of a header such as `form-data; name="file"; filename="a.jsonl"`. Quoted values may
// hold `\"` (RFC 2046) and, as browsers and SDKs write them, %22 for a quote.
std::optional<std::string> Parameter(std::string_view header, std::string_view name) {
  size_t at = header.find(';');
  while (at != std::string_view::npos) {
    const size_t start = header.find_first_not_of("; \t", at);
    const size_t equals = start == std::string_view::npos ? start : header.find('=', start);
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string key = absl::AsciiStrToLower(
        absl::StripAsciiWhitespace(ToAbsl(header.substr(start, equals - start))));
    std::string value;
    size_t end = equals + 1;
    if (end < header.size() && header[end] == '"') {
      for (++end; end < header.size() && header[end] != '"'; ++end) {
        if (header[end] == '\\' && end + 1 < header.size() && header[end + 1] == '"') ++end;
        value += header[end];
      }
    } else {
      end = std::min(header.find(';', end), header.size());
      value = std::string(
          absl::StripAsciiWhitespace(ToAbsl(header.substr(equals + 1, end - equals - 1))));
    }
    if (key == ToAbsl(name)) return value;
    at = header.find(';', end);
  }
  return std::nullopt;
}

absl::StatusOr<FormPart> ParseHead(std::string_view head) {
  FormPart part;
  bool named = false;
  for (absl::string_view line : absl::StrSplit(ToAbsl(head), "\r\n", absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const absl::string_view value = absl::StripAsciiWhitespace(field.second);
    if (absl::EqualsIgnoreCase(field.first, "content-type")) part.content_type = std::string(value);
    if (!absl::EqualsIgnoreCase(field.first, "content-disposition")) continue;
    const std::optional<std::string> name = Parameter(ToStd(value), "name");
    named = name.has_value();
    part.name = name.value_or("");
    part.filename = Parameter(ToStd(value), "filename");
  }
  if (!named) return BadForm("a part has no Content-Disposition with a name");
  return part;
}

}  // namespace

absl::StatusOr<std::string> BoundaryOf(std::string_view content_type) {
  const absl::string_view type = ToAbsl(content_type.substr(0, content_type.find(';')));
  if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(type), "multipart/form-data")) {
    return BadForm("content-type must be multipart/form-data");
  }
  std::optional<std::string> boundary = Parameter(content_type, "boundary");
  if (!boundary.has_value() || boundary->empty() || boundary->size() > 70) {
    return BadForm("content-type names no boundary of 1 to 70 characters");
  }
  return *std::move(boundary);
}

MultipartReader::MultipartReader(const std::string& boundary,
                                 std::function<absl::Status(const FormPart&)> begin,
                                 std::function<absl::Status(std::string_view)> data)
    : delimiter_("\r\n--" + boundary), begin_(std::move(begin)), data_(std::move(data)) {}

absl::Status MultipartReader::Feed(std::string_view bytes) {
  buffer_.append(bytes);
  while (true) {
    ASSIGN_OR_RETURN(bool went_on, Step());
    if (!went_on) return absl::OkStatus();
  }
}

absl::Status MultipartReader::Finish() const {
  return state_ == State::kEnd ? absl::OkStatus() : BadForm("it ends before its closing boundary");
}

absl::StatusOr<bool> MultipartReader::Step() {
  switch (state_) {
    case State::kPreamble:
      return SkipPreamble();
    case State::kAfterBoundary:
      return AfterBoundary();
    case State::kHead:
      return ReadHead();
    case State::kData:
      return ReadData();
    case State::kEnd:
      buffer_.clear();  // an epilogue says nothing
      return false;
  }
  return false;
}

absl::StatusOr<bool> MultipartReader::SkipPreamble() {
  const size_t at = buffer_.find(delimiter_);
  if (at == std::string::npos) {
    if (buffer_.size() > delimiter_.size()) {
      buffer_.erase(0, buffer_.size() - delimiter_.size());
    }
    return false;
  }
  buffer_.erase(0, at + delimiter_.size());
  state_ = State::kAfterBoundary;
  return true;
}

absl::StatusOr<bool> MultipartReader::AfterBoundary() {
  // "--" closes; else white space and the end of the line.
  const size_t start = std::min(buffer_.find_first_not_of(" \t"), buffer_.size());
  if (buffer_.size() < start + 2) {
    return start > kMaxHead ? absl::StatusOr<bool>(BadForm("a boundary's line does not end"))
                            : false;
  }
  if (buffer_.compare(start, 2, "--") == 0) {
    state_ = State::kEnd;
  } else if (buffer_.compare(start, 2, "\r\n") == 0) {
    // The end of the line stays: a part without a head begins with another one.
    buffer_.erase(0, start);
    state_ = State::kHead;
  } else {
    return BadForm("a boundary is followed by something else than the end of its line");
  }
  return true;
}

absl::StatusOr<bool> MultipartReader::ReadHead() {
  const size_t end = buffer_.find("\r\n\r\n");
  if (end == std::string::npos) {
    return buffer_.size() > kMaxHead ? absl::StatusOr<bool>(BadForm("a part's head is too long"))
                                     : false;
  }
  ASSIGN_OR_RETURN(FormPart part, ParseHead(std::string_view(buffer_).substr(0, end)));
  // An empty part's delimiter begins with the blank line's end, so that one stays and is no data.
  buffer_.erase(0, end + 2);
  state_ = State::kData;
  at_blank_line_ = true;
  RETURN_IF_ERROR(begin_(part));
  return true;
}

absl::StatusOr<bool> MultipartReader::ReadData() {
  if (std::exchange(at_blank_line_, false)) {
    if (buffer_.size() < delimiter_.size()) {
      at_blank_line_ = true;
      return false;
    }
    if (buffer_.compare(0, delimiter_.size(), delimiter_) != 0) buffer_.erase(0, 2);
  }
  const size_t at = buffer_.find(delimiter_);
  if (at != std::string::npos) {
    if (at > 0) RETURN_IF_ERROR(data_(std::string_view(buffer_).substr(0, at)));
    buffer_.erase(0, at + delimiter_.size());
    state_ = State::kAfterBoundary;
    return true;
  }
  // The last bytes may be the beginning of a delimiter.
  if (buffer_.size() >= delimiter_.size()) {
    const size_t safe = buffer_.size() - delimiter_.size() + 1;
    RETURN_IF_ERROR(data_(std::string_view(buffer_).substr(0, safe)));
    buffer_.erase(0, safe);
  }
  return false;
}

}  // namespace crossover::http
