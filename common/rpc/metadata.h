// Private to the room.
#pragma once

#include <grpcpp/server_context.h>

#include <string>

namespace crossover::rpc {

// A value of the caller's metadata, the first if there are several; "" if there is none.
inline std::string MetadataOf(const grpc::CallbackServerContext& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find(key);
  return it == metadata.end() ? "" : std::string(it->second.data(), it->second.length());
}

}  // namespace crossover::rpc
