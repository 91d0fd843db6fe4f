// The other services, as evaluation reaches them.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace crossover::evaluation {

struct Channels {
  std::shared_ptr<grpc::Channel> registry;
  std::shared_ptr<grpc::Channel> curation;
  std::shared_ptr<grpc::Channel> inference;
  std::string api_key;  // sent with every call; may be empty
};

}  // namespace crossover::evaluation
