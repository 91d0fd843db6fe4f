// A running server with an echo service, for the tests of this room.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/log/fake_logger.h"
#include "common/rpc/channel.h"
#include "common/rpc/handler.h"
#include "common/rpc/server.h"
#include "common/rpc/testing_proto/echo.grpc.pb.h"

namespace crossover::rpc {

namespace pb = ::crossover::rpc_test;

// Each method does what the test puts into its hook.
class EchoService final : public pb::EchoService::CallbackService {
 public:
  EchoService(HandlerOptions options, Logger& logger, metrics::Registry& registry)
      : handler_(std::move(options), SystemClock(), logger, registry) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const pb::EchoRequest* request,
                                 pb::EchoResponse* response) override {
    return handler_.Unary(context, "Echo", [=, this](const Call& call) -> absl::Status {
      response->set_text(request->text());
      return echo ? echo(call, *request, *response) : absl::OkStatus();
    });
  }
  grpc::ServerUnaryReactor* Poll(grpc::CallbackServerContext* context, const pb::EchoRequest*,
                                 pb::EchoResponse* response) override {
    return handler_.Deferred(
        context, "Poll", [=, this](const Call&, Finisher finisher) { poll(finisher, response); });
  }
  grpc::ServerWriteReactor<pb::EchoResponse>* Watch(grpc::CallbackServerContext* context,
                                                    const pb::EchoRequest* request) override {
    return handler_.ServerStream<pb::EchoResponse>(
        context, "Watch", [=, this](const Call&, const Stream<pb::EchoResponse>& stream) {
          watch(*request, stream);
        });
  }
  grpc::ServerReadReactor<pb::EchoRequest>* Upload(grpc::CallbackServerContext* context,
                                                   pb::EchoResponse* response) override {
    return handler_.Upload<pb::EchoRequest>(
        context, "Upload",
        [this, response](const Call&, UploadReader<pb::EchoRequest>& reader) -> absl::Status {
          pb::EchoRequest message;
          while (reader.Read(&message)) {
            response->set_count(response->count() + message.count());
            if (uploaded) uploaded();
          }
          return reader.cancelled() ? absl::CancelledError("gone") : absl::OkStatus();
        });
  }

  std::function<absl::Status(const Call&, const pb::EchoRequest&, pb::EchoResponse&)> echo;
  std::function<void(Finisher, pb::EchoResponse*)> poll;
  std::function<void(const pb::EchoRequest&, const Stream<pb::EchoResponse>&)> watch;
  std::function<void()> uploaded;  // after each message of an upload

 private:
  Handler handler_;
};

class EchoModule final : public Module {
 public:
  explicit EchoModule(EchoService& service) : service_(service) {}
  std::vector<grpc::Service*> Services() override { return {&service_}; }
  absl::Status Start() override {
    ++started;
    return start_status;
  }
  void Drain() override {
    ++drained;
    if (on_drain) on_drain();
  }
  absl::Status Ready() override {
    return database_away ? absl::UnavailableError("database away") : ready_status;
  }

  int started = 0;
  int drained = 0;
  absl::Status start_status;
  absl::Status ready_status;
  std::atomic<bool> database_away = false;  // may change while the server runs
  std::function<void()> on_drain;

 private:
  EchoService& service_;
};

// An event that one thread signals and another waits for.
class Event {
 public:
  void Set() {
    std::lock_guard lock(mutex_);
    set_ = true;
    wake_.notify_all();
  }
  bool Wait() {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, std::chrono::seconds(20), [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool set_ = false;
};

class EchoFixture : public ::testing::Test {
 protected:
  void Start(HandlerOptions options = {}) {
    options.service = "crossover.rpc_test.EchoService";
    service_ = std::make_unique<EchoService>(options, logger_, registry_);
    module_ = std::make_unique<EchoModule>(*service_);
    auto server = Server::Start({.addresses = {"127.0.0.1:0"}, .drain_timeout = absl::Seconds(2)},
                                {module_.get()}, logger_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = NewChannel("127.0.0.1:" + std::to_string(server_->port()));
    stub_ = pb::EchoService::NewStub(channel_);
  }

  absl::StatusOr<pb::EchoResponse> Echo(const std::string& text, CallOptions options = {}) {
    pb::EchoRequest request;
    request.set_text(text);
    return Invoke(*stub_, &pb::EchoService::Stub::Echo, request, options);
  }

  FakeLogger logger_;
  metrics::Registry registry_{"echo"};
  std::unique_ptr<EchoService> service_;
  std::unique_ptr<EchoModule> module_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::EchoService::Stub> stub_;
};

}  // namespace crossover::rpc
