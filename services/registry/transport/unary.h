// Private to the registry's transport.
#pragma once

// A unary method that runs Do<Method>(request, response) on the handler's executor.
#define CROSSOVER_UNARY(method, Request, Response)                                               \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const Request* request, \
                                   Response* response) override {                                \
    return handler_.Unary(context, #method, [=, this](const rpc::Call&) {                        \
      return Do##method(*request, *response);                                                    \
    });                                                                                          \
  }                                                                                              \
  absl::Status Do##method(const Request& request, Response& response);
