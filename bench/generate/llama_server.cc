#include "bench/generate/llama_server.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/http/client.h"
#include "common/process/spawn.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"

namespace crossover::bench {
namespace {

// A port that nobody has now.
int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  int port = 0;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    port = ntohs(address.sin_port);
  ::close(fd);
  return port;
}

absl::StatusOr<nlohmann::json> Call(const std::string& method, const std::string& url,
                                    const std::string& body) {
  http::Client client;
  ASSIGN_OR_RETURN(const http::ClientResponse response,
                   client.Send({.method = method,
                                .url = url,
                                .headers = {{"content-type", "application/json"}},
                                .body = body,
                                .timeout = absl::Minutes(2)}));
  if (response.status != 200) {
    return absl::InternalError(
        absl::StrCat(ToAbsl(url), " answered ", response.status, ": ", response.body));
  }
  return nlohmann::json::parse(response.body, nullptr, false);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LlamaServer>> LlamaServer::Start(const LlamaServerOptions& options) {
  const int threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  const int port = FreePort();
  const std::filesystem::path slots = options.folder / "slots";
  std::filesystem::create_directories(slots);
  ASSIGN_OR_RETURN(const pid_t pid,
                   Spawn({.argv = {options.program,
                                   "--model",
                                   options.model,
                                   "--host",
                                   "127.0.0.1",
                                   "--port",
                                   absl::StrCat(port),
                                   "--parallel",
                                   absl::StrCat(options.slots),
                                   "--ctx-size",
                                   absl::StrCat(options.slots * options.slot_tokens),
                                   "--no-kv-unified",
                                   "--threads",
                                   absl::StrCat(threads),
                                   "--threads-http",
                                   "4",
                                   "--cache-ram",
                                   "0",
                                   "--slot-save-path",
                                   slots.string() + "/"},
                          .parent_death_signal = SIGKILL,
                          .output = options.folder / "llama-server.log"}));
  auto server = std::unique_ptr<LlamaServer>(
      new LlamaServer(pid, absl::StrCat("http://127.0.0.1:", port), options.slots));
  for (int i = 0; i < 1200; ++i) {
    if (Call("GET", server->base_ + "/health", "").ok()) return server;
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      return absl::InternalError(absl::StrCat("llama-server ", DescribeExit(status),
                                              "; its log is ",
                                              (options.folder / "llama-server.log").string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return absl::DeadlineExceededError("llama-server was not healthy after two minutes");
}

LlamaServer::~LlamaServer() {
  kill(pid_, SIGTERM);
  for (int i = 0; i < 50; ++i) {
    if (waitpid(pid_, nullptr, WNOHANG) != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::StatusOr<int> LlamaServer::UsedSlot() const {
  // Whichever can be saved with the most tokens.
  int best = 0;
  int64_t most = -1;
  for (int slot = 0; slot < slots_; ++slot) {
    ASSIGN_OR_RETURN(const nlohmann::json saved,
                     Call("POST", absl::StrCat(base_, "/slots/", slot, "?action=save"),
                          R"({"filename":"probe"})"));
    const int64_t tokens = saved.value("n_saved", int64_t{0});
    if (tokens > most) {
      most = tokens;
      best = slot;
    }
  }
  return best;
}

absl::Status LlamaServer::CopyToAllSlots(int from) {
  const std::string file = R"({"filename":"common"})";
  RETURN_IF_ERROR(
      Call("POST", absl::StrCat(base_, "/slots/", from, "?action=save"), file).status());
  for (int slot = 0; slot < slots_; ++slot) {
    if (slot == from) continue;
    RETURN_IF_ERROR(
        Call("POST", absl::StrCat(base_, "/slots/", slot, "?action=restore"), file).status());
  }
  return absl::OkStatus();
}

}  // namespace crossover::bench
