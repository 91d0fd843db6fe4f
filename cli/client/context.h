// What every command has: where to write, where the server is, and the options before the command's
// name.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/client/interrupts.h"
#include "cli/output/json.h"
#include "cli/output/terminal.h"
#include "common/rpc/channel.h"
#include "common/status/status_macros.h"
#include "common/time/clock.h"
#include "google/protobuf/descriptor.h"

namespace crossover::cli {

// Outside world of the process; tests give their own. All references are borrowed.
struct World {
  Terminal& terminal;
  Clock& clock;
  Interrupts& interrupts;
  std::map<std::string, std::string> environment;
  // Replaces this process by a program beside it: (name, arguments). Returns only on failure.
  std::function<absl::Status(const std::string&, const std::vector<std::string>&)> exec;
};

// Options that every command takes.
struct Globals {
  std::string server;   // HOST:PORT or unix:/path; empty = see ServerAddress
  std::string project;  // slug or `projects/{project}`
  std::string data;     // data folder of the embedded platform
  bool json = false;
  absl::Duration timeout = absl::Seconds(60);  // of one call
};

// Not thread-safe. One per invocation.
class Context {
 public:
  explicit Context(World& world) : world(world) {}

  World& world;
  Globals globals;
  // What the chosen command does; set while arguments are parsed.
  std::function<absl::Status()> action;
  // Messages whose fields commands (CLI::App) take by --set, for "did you mean".
  std::map<const void*, const google::protobuf::Descriptor*> set_fields;

  Terminal& terminal() { return world.terminal; }
  absl::Time Now() { return world.clock.Now(); }

  // --server, CROSSOVER_SERVER, the embedded platform's state file in the data folder, else
  // 127.0.0.1:7070.
  std::string ServerAddress() const;
  // CLI_UNREACHABLE where --data or CROSSOVER_DATA names a folder in which no platform runs:
  // whoever names one means no other. (A server that is elsewhere has --server or CROSSOVER_SERVER,
  // which are asked first.)
  absl::Status CheckServer() const;
  // `projects/{project}`: --project, CROSSOVER_PROJECT, else `projects/default`.
  std::string Project() const;
  // CROSSOVER_API_KEY or the content of CROSSOVER_API_KEY_FILE.
  std::string ApiKey() const;
  std::string Variable(const std::string& name) const;

  std::shared_ptr<grpc::Channel> Channel();

  // Once, and only of a project that was named: NOT_FOUND with the one that was probably meant. A
  // server that cannot say whether it is there says what it has to say of the call itself.
  absl::Status CheckProject();

  // Error as the user should see it: a dead address becomes CLI_UNREACHABLE.
  absl::Status Explained(const absl::Status& status) const;

  // One call with the global timeout, once CheckServer and CheckProject have nothing against it.
  // Reads (Get…, List…) are repeated when the server is briefly away.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(std::unique_ptr<Stub>& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const std::type_identity_t<Request>& request,
                                bool idempotent = false) {
    RETURN_IF_ERROR(CheckServer());
    RETURN_IF_ERROR(CheckProject());
    const std::string key = ApiKey();
    auto response =
        rpc::Invoke(*stub, method, request,
                    {.timeout = globals.timeout, .idempotent = idempotent, .api_key = key});
    if (!response.ok()) return Explained(response.status());
    return response;
  }

  // All pages of a list as one response. `page_items` returns a response's mutable repeated field.
  template <typename Stub, typename Request, typename Response, typename Items>
  absl::StatusOr<Response> ListAll(std::unique_ptr<Stub>& stub,
                                   grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                                   Request request, Items items, int limit = 0) {
    Response all;
    request.set_page_size(limit > 0 && limit < 1000 ? limit : 1000);
    while (true) {
      ASSIGN_OR_RETURN(Response page, Call(stub, method, request, true));
      items(all)->MergeFrom(*items(page));
      const bool enough = limit > 0 && items(all)->size() >= limit;
      if (page.next_page_token().empty() || enough) return all;
      request.set_page_token(page.next_page_token());
    }
  }

  // --json: the message, and true.
  bool PrintedJson(const google::protobuf::Message& message);
  // A new request_id.
  std::string RequestId() const;

 private:
  std::shared_ptr<grpc::Channel> channel_;
  bool project_checked_ = false;
};

}  // namespace crossover::cli
