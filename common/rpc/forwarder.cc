#include "common/rpc/forwarder.h"

#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <mutex>
#include <utility>

#include "common/rpc/deployment_keys.h"
#include "common/rpc/error_mapper.h"
#include "common/rpc/metadata.h"
#include "common/status/error.h"

namespace crossover::rpc {
namespace {

// A call that goes nowhere.
class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

// One call: a message at a time in each direction. The server's half owns everything and ends last.
class ForwardedCall final : public grpc::ServerGenericBidiReactor {
 public:
  ForwardedCall(const grpc::GenericCallbackServerContext& context,
                std::shared_ptr<grpc::Channel> channel, const std::string& authorization)
      : stub_(std::move(channel)), client_(*this) {
    client_context_.set_deadline(context.deadline());
    const std::pair<const char*, std::string> metadata[] = {
        {"authorization", authorization}, {"traceparent", MetadataOf(context, "traceparent")}};
    for (const auto& [key, value] : metadata) {
      if (!value.empty()) client_context_.AddMetadata(key, value);
    }
    stub_.PrepareBidiStreamingCall(&client_context_, context.method(), grpc::StubOptions(),
                                   &client_);
    // Requests and answers are both moved on by the other half's reactions: a hold for each,
    // without which the client's half could end between an answer's read and the next.
    client_.AddMultipleHolds(2);
    client_.StartRead(&response_);
    client_.StartCall();
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      if (released_) return;  // the answer is over: nobody takes more
      writing_ = ok;
      released_ = !ok;
    }
    if (ok) {
      client_.StartWrite(&request_);
      return;
    }
    client_.StartWritesDone();
    client_.RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      client_.StartRead(&response_);
    } else {
      client_context_.TryCancel();
      ReleaseIfIdle();
      client_.RemoveHold();  // no answer is read any more
    }
  }

  void OnCancel() override { client_context_.TryCancel(); }
  void OnDone() override { delete this; }

 private:
  class Client final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    explicit Client(ForwardedCall& call) : call_(call) {}
    void OnReadDone(bool ok) override {
      if (ok) {
        call_.StartWrite(&call_.response_);
      } else {
        call_.ReleaseIfIdle();
        RemoveHold();  // no answer is read any more
      }
    }
    void OnWriteDone(bool ok) override { call_.Written(ok); }
    void OnDone(const grpc::Status& status) override { call_.Finish(status); }

   private:
    ForwardedCall& call_;
  };

  void Written(bool ok) {
    bool end = false;
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      end = !ok || answer_over_;
      released_ = end;
    }
    if (end) {
      client_.RemoveHold();
    } else {
      StartRead(&request_);
    }
  }

  // No more answers come: the call may end although the caller has not said all.
  void ReleaseIfIdle() {
    {
      std::lock_guard lock(mutex_);
      answer_over_ = true;
      if (released_ || writing_) return;
      released_ = true;
    }
    client_.RemoveHold();
  }

  grpc::GenericStub stub_;
  grpc::ClientContext client_context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::mutex mutex_;
  bool writing_ = false;  // a message is on its way to the process behind
  bool answer_over_ = false;
  bool released_ = false;  // the hold for requests is gone: none may be passed on any more
  Client client_;
};

}  // namespace

grpc::ServerGenericBidiReactor* Forwarder::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const std::string full_name =
      context->method().substr(context->method().starts_with("/") ? 1 : 0);
  for (const Forward& route : routes_) {
    if (!full_name.starts_with(route.prefix)) continue;
    std::string authorization = MetadataOf(*context, "authorization");
    absl::StatusOr<Principal> caller = Principal{.name = "trusted", .role = Role::kAdmin};
    if (route.authenticator != nullptr)
      caller = route.authenticator->Authenticate(authorization, context->peer());
    if (!caller.ok()) return new Refusal(caller.status());
    // The service behind learns the role with the service key and knows all its methods. Without a
    // key it trusts this process, which then has to know.
    const bool judged_behind = !route.service_key.empty() && !KnowsMethod(full_name);
    if (!judged_behind && !Allows(AccessOf(full_name), caller->role)) {
      return new Refusal(
          Error(absl::StatusCode::kPermissionDenied, "ROLE_INSUFFICIENT",
                caller->name + " may not call " + full_name + ": its role is too low"));
    }
    if (!route.service_key.empty())
      authorization = "Bearer " + ServiceToken(route.service_key, *caller);
    return new ForwardedCall(*context, route.channel, authorization);
  }
  return new Refusal(
      Error(absl::StatusCode::kUnimplemented, "UNIMPLEMENTED", "nothing here serves " + full_name));
}

}  // namespace crossover::rpc
