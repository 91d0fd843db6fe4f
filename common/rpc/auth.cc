#include "common/rpc/auth.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "common/status/error.h"

namespace crossover::rpc {
namespace {

bool IsLocal(std::string_view peer) {
  for (const std::string_view prefix :
       {"unix:", "inproc", "ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D"}) {
    if (peer.starts_with(prefix)) return true;
  }
  return peer.empty();  // in-process calls have no peer
}

Role ToRole(int number) {
  return number >= 0 && number <= static_cast<int>(Role::kService) ? static_cast<Role>(number)
                                                                   : Role::kUnspecified;
}

// The `access` option, found by name so that this room needs no generated code of crossover.type.
MethodAccess AccessOption(const google::protobuf::MethodDescriptor& method) {
  const auto* extension = google::protobuf::DescriptorPool::generated_pool()->FindExtensionByName(
      "crossover.type.v1.access");
  if (extension == nullptr || extension->message_type() == nullptr) return {};
  const auto& options = method.options();
  if (!options.GetReflection()->HasField(options, extension)) return {};
  const google::protobuf::Message& access = options.GetReflection()->GetMessage(options, extension);
  const auto* reflection = access.GetReflection();
  const auto* role = access.GetDescriptor()->FindFieldByName("role");
  const auto* also = access.GetDescriptor()->FindFieldByName("also");
  MethodAccess out;
  if (role != nullptr) out.role = ToRole(reflection->GetEnumValue(access, role));
  for (int i = 0; also != nullptr && i < reflection->FieldSize(access, also); ++i) {
    out.also.push_back(ToRole(reflection->GetRepeatedEnumValue(access, also, i)));
  }
  return out;
}

const google::protobuf::MethodDescriptor* FindMethod(std::string_view full_method) {
  std::string name(full_method.substr(full_method.starts_with('/') ? 1 : 0));
  std::replace(name.begin(), name.end(), '/', '.');
  return google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
}

}  // namespace

absl::StatusOr<Principal> LoopbackAuthenticator::Authenticate(std::string_view,
                                                              std::string_view peer) {
  if (IsLocal(peer)) return Principal{.name = "loopback", .project = "", .role = Role::kAdmin};
  return Error(
      absl::StatusCode::kUnauthenticated, "API_KEY_MISSING",
      "callers from other machines need an API key, and this server has none configured (peer " +
          std::string(peer) + ")");
}

bool Allows(const MethodAccess& access, Role have) {
  if (have == Role::kAdmin) return true;
  if (access.role == Role::kUnspecified) return false;
  if (std::find(access.also.begin(), access.also.end(), have) != access.also.end()) return true;
  const bool apart = have >= Role::kWorker || access.role >= Role::kWorker;
  return apart ? have == access.role : have >= access.role;
}

MethodAccess AccessOf(std::string_view full_method) {
  const auto* method = FindMethod(full_method);
  return method == nullptr ? MethodAccess{} : AccessOption(*method);
}

bool KnowsMethod(std::string_view full_method) { return FindMethod(full_method) != nullptr; }

}  // namespace crossover::rpc
