// Runs the command line in this process against fake services on a free port.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/app.h"
#include "cli/client/interrupts.h"
#include "common/rpc/error_mapper.h"
#include "common/status/error.h"
#include "common/time/fake_clock.h"

namespace crossover::cli::testing {

// A clock that nobody has to move: sleeping moves it.
class SleeplessClock final : public Clock {
 public:
  absl::Time Now() override { return clock_.Now(); }
  absl::Duration SteadyNow() override { return clock_.SteadyNow(); }
  void SleepFor(absl::Duration duration) override { clock_.Advance(duration); }

 private:
  FakeClock clock_;
};

// Ctrl-C at the press of a test.
class FakeInterrupts final : public Interrupts {
 public:
  void SetHandler(std::function<void()> handler) override {
    std::lock_guard lock(mutex_);
    handler_ = std::move(handler);
  }
  void Press() {
    std::lock_guard lock(mutex_);
    if (handler_) handler_();
  }

 private:
  std::mutex mutex_;
  std::function<void()> handler_;
};

// What an error looks like when it leaves a service.
inline grpc::Status Refuse(absl::StatusCode code, const std::string& reason,
                           const std::string& message) {
  return rpc::ToGrpc(Error(code, reason, message));
}

class CliTest : public ::testing::Test {
 protected:
  ~CliTest() override {
    if (server_) server_->Shutdown();
  }

  // Starts a server; without it nothing answers.
  void Serve(const std::vector<grpc::Service*>& services) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    for (grpc::Service* service : services) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    environment_["CROSSOVER_SERVER"] = absl::StrCat("127.0.0.1:", port);
  }

  // `crossover ARGUMENTS`; what was printed is in out() and err() afterwards.
  int Crossover(const std::vector<std::string>& arguments) {
    out_.str("");
    err_.str("");
    Terminal terminal{.out = out_, .err = err_, .width = 80};
    World world{.terminal = terminal,
                .clock = clock_,
                .interrupts = interrupts_,
                .environment = environment_,
                .exec = exec_};
    return cli::Run(world, arguments);
  }

  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  SleeplessClock clock_;
  FakeInterrupts interrupts_;
  std::map<std::string, std::string> environment_ = {{"CROSSOVER_SERVER", "127.0.0.1:1"}};
  std::function<absl::Status(const std::string&, const std::vector<std::string>&)> exec_;

 private:
  std::ostringstream out_;
  std::ostringstream err_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace crossover::cli::testing
