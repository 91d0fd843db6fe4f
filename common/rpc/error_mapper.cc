#include "common/rpc/error_mapper.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include <string>
#include <utility>

#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::rpc {
namespace {

constexpr size_t kMaxMessage = 4 << 10;
constexpr size_t kMaxDetails = 8 << 10;  // gRPC refuses trailers beyond its 16 KiB default

// Cuts without splitting a UTF-8 character: protobuf strings must stay valid.
std::string Cut(std::string_view text, size_t limit) {
  if (text.size() <= limit) return std::string(text);
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return std::string(text.substr(0, limit)) + "…";
}

google::rpc::ErrorInfo InfoOf(const absl::Status& status, const ErrorDetail& detail) {
  google::rpc::ErrorInfo info;
  info.set_reason(detail.reason.empty()
                      ? std::string(ToStd(absl::StatusCodeToString(status.code())))
                      : detail.reason);
  info.set_domain(kErrorDomain);
  size_t size = 0;
  for (const auto& [key, value] : detail.metadata) {
    size += key.size() + value.size();
    if (size > kMaxDetails / 2) break;
    (*info.mutable_metadata())[key] = value;
  }
  return info;
}

google::rpc::BadRequest ViolationsOf(const ErrorDetail& detail) {
  google::rpc::BadRequest bad;
  size_t size = 0;
  for (const FieldViolation& violation : detail.violations) {
    size += violation.field.size() + violation.description.size() + 8;
    if (size > kMaxDetails / 2) break;
    auto* out = bad.add_field_violations();
    out->set_field(violation.field);
    out->set_description(violation.description);
  }
  return bad;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const ErrorDetail detail = DetailOf(status);
  const std::string message = Cut(ToStd(status.message()), kMaxMessage);
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(Cut(message, 256));  // the whole one travels in grpc-message
  rich.add_details()->PackFrom(InfoOf(status, detail));
  if (!detail.violations.empty()) rich.add_details()->PackFrom(ViolationsOf(detail));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      rich.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  ErrorDetail detail;
  google::rpc::Status rich;
  if (rich.ParseFromString(status.error_details())) {
    for (const auto& any : rich.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad;
      if (any.UnpackTo(&info)) {
        detail.reason = info.reason();
        detail.metadata.insert(info.metadata().begin(), info.metadata().end());
      } else if (any.UnpackTo(&bad)) {
        for (const auto& violation : bad.field_violations()) {
          detail.violations.push_back({violation.field(), violation.description()});
        }
      }
    }
  }
  return Error(static_cast<absl::StatusCode>(status.error_code()), status.error_message(),
               std::move(detail));
}

}  // namespace crossover::rpc
