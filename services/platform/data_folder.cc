#include "services/platform/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::platform {
namespace {

namespace fs = std::filesystem;
constexpr size_t kLongestSocketName = 24;  // "/.s.PGSQL.5432.lock" and the like

absl::Status MakeFolder(const fs::path& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (!code && ::access(path.c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
  const std::string why = code ? code.message() : std::strerror(errno);
  return Error(absl::StatusCode::kPermissionDenied, "DATA_FOLDER_UNUSABLE",
               absl::StrCat("cannot use the data folder ", path.string(), ": ", why,
                            "; choose another one with --data"));
}

// A file of the data folder that cannot be written, by errno.
absl::Status NotWritten(const fs::path& path, int error) {
  const std::string message =
      absl::StrCat("cannot write ", path.string(), ": ", std::strerror(error));
  if (IsDiskFull(error)) {
    return Error(
        absl::StatusCode::kResourceExhausted, "DISK_FULL",
        absl::StrCat(message,
                     "; free some space there, or choose another data folder with --data"));
  }
  return Error(absl::StatusCode::kUnavailable, "DATA_FOLDER_UNUSABLE",
               absl::StrCat(message, "; choose another data folder with --data"));
}

// A folder for sockets whose path leaves room for a name.
absl::StatusOr<fs::path> RunFolder(const fs::path& root) {
  fs::path run = root / "run";
  if (run.string().size() + kLongestSocketName >= sizeof(sockaddr_un{}.sun_path)) {
    run = fs::path("/tmp") / ("crossover-" + DigestOf(root.string()).substr(7, 16));
  }
  RETURN_IF_ERROR(MakeFolder(run));
  ::chmod(run.c_str(), 0700);  // who reaches the sockets is trusted
  return run;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataFolder>> DataFolder::Open(const fs::path& given) {
  std::error_code code;
  const fs::path root = fs::weakly_canonical(fs::absolute(given), code);
  for (const fs::path& folder : {root, root / "log"}) RETURN_IF_ERROR(MakeFolder(folder));
  const fs::path lock = root / "platform.lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return Error(absl::StatusCode::kPermissionDenied, "DATA_FOLDER_UNUSABLE",
                 absl::StrCat("cannot open ", lock.string(), ": ", std::strerror(errno),
                              "; choose another data folder with --data"));
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const ssize_t n = ::read(fd, owner, sizeof(owner) - 1);
    ::close(fd);
    return Error(absl::StatusCode::kFailedPrecondition, "DATA_FOLDER_IN_USE",
                 absl::StrCat("another platform (process ", n > 0 ? owner : "unknown",
                              ") uses the data folder ", root.string(),
                              "; stop it, or choose another folder with --data"));
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) != 0 || ::write(fd, pid.data(), pid.size()) < 0) {
    const absl::Status status = NotWritten(lock, errno);
    ::close(fd);
    return status;
  }
  absl::StatusOr<fs::path> run = RunFolder(root);
  if (!run.ok()) {
    ::close(fd);
    return run.status();
  }
  return std::unique_ptr<DataFolder>(new DataFolder(root, *std::move(run), fd));
}

DataFolder::~DataFolder() {
  std::error_code ignored;
  fs::remove(root_ / "platform.json", ignored);
  ::close(lock_fd_);
}

std::string Greeting(const StateFile& state, const std::vector<std::string>& notes) {
  std::string out = absl::StrCat("Crossover is ready.\n  OpenAI API   ", state.http,
                                 "/v1\n  gRPC         ", state.grpc, "\n");
  for (const std::string& note : notes) absl::StrAppend(&out, "  note         ", note, "\n");
  absl::StrAppend(&out, "  next         crossover --help shows the way through; Ctrl-C stops ",
                  "everything\n");
  return out;
}

absl::Status DataFolder::WriteState(const StateFile& state) {
  const nlohmann::json json{{"pid", state.pid},
                            {"grpc", state.grpc},
                            {"socket", state.socket},
                            {"http", state.http},
                            {"admin", state.admin},
                            {"metrics", state.metrics},
                            {"model_server", state.model_server}};
  const fs::path path = root_ / "platform.json";
  const fs::path partial = root_ / "platform.json.partial";
  std::ofstream file(partial);
  file << json.dump(2) << "\n";
  file.close();
  if (!file || ::rename(partial.c_str(), path.c_str()) != 0) return NotWritten(path, errno);
  return absl::OkStatus();
}

}  // namespace crossover::platform
