// Channels whose calls say by themselves who makes them.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <string>

#include "common/rpc/channel.h"

namespace crossover::rpc {

// As NewChannel; `token` is asked at each call, on the calling thread, for what is sent as
// "authorization: Bearer …". Calls that have an authorization of their own keep it. For synchronous
// calls: in gRPC 1.51 a callback call crashes on a channel with an interceptor, which this has.
std::shared_ptr<grpc::Channel> NewTokenChannel(const std::string& target,
                                               std::function<std::string()> token,
                                               const ChannelOptions& options = {});

}  // namespace crossover::rpc
