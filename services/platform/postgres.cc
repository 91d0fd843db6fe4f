#include "services/platform/postgres.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/pg/migration.h"
#include "common/process/spawn.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/platform/child.h"

namespace crossover::platform {
namespace {

namespace fs = std::filesystem;
constexpr char kUser[] = "postgres";
constexpr char kFallbackHome[] = "/var/lib/crossover";

// The last lines of a log, for error messages.
std::string Tail(const fs::path& path, size_t lines = 8) {
  std::ifstream file(path);
  std::vector<std::string> last;
  for (std::string line; std::getline(file, line);) {
    last.push_back(line);
    if (last.size() > lines) last.erase(last.begin());
  }
  std::string out;
  for (const std::string& line : last) absl::StrAppend(&out, "\n  ", line);
  return out;
}

absl::Status StartFailed(const std::string& what, const fs::path& log) {
  return Error(
      absl::StatusCode::kUnavailable, "POSTGRES_NOT_STARTED",
      absl::StrCat("the private Postgres ", what, "; the end of ", log.string(), ":", Tail(log)));
}

// True if `user` can enter the folder.
bool CanEnter(const std::string& user, const fs::path& folder) {
  const absl::StatusOr<int> status =
      RunToEnd({.argv = {"/usr/bin/test", "-x", folder.string()}, .user = user});
  return status.ok() && *status == 0;
}

// Where a process works, empty if there is none or it is not ours to ask. Servers of a cluster and
// their backends work in its data directory.
fs::path FolderOf(const std::string& pid) {
  std::error_code code;
  const fs::path cwd = fs::read_symlink("/proc/" + pid + "/cwd", code);
  return code ? fs::path() : cwd;
}

// The process named in postmaster.pid, or 0.
pid_t PidInFile(const fs::path& data) {
  std::ifstream file(data / "postmaster.pid");
  pid_t pid = 0;
  return file >> pid && pid > 0 ? pid : 0;
}

// The process named in postmaster.pid, if it is a Postgres of this very data directory; else 0.
pid_t LeftOver(const fs::path& data) {
  const pid_t pid = PidInFile(data);
  return pid != 0 && FolderOf(std::to_string(pid)) == data ? pid : 0;
}

// True if a server of the cluster or one of its backends runs.
bool IsInUse(const fs::path& data) {
  std::error_code code;
  for (fs::directory_iterator it("/proc", code), end; !code && it != end; it.increment(code)) {
    if (FolderOf(it->path().filename().string()) == data) return true;
  }
  return false;
}

}  // namespace

struct Postgres::Impl {
  Impl(PostgresOptions opts, Clock& c, Logger& l) : options(std::move(opts)), clock(c), logger(l) {}

  std::string Binary(const char* name) const { return (options.binaries / name).string(); }
  std::string Dsn(const std::string& database) const {
    return absl::StrCat("host='", sockets.string(), "' user=postgres dbname=", database);
  }

  absl::Status CheckInstalled() const {
    if (::access(Binary("postgres").c_str(), X_OK) == 0 &&
        ::access(Binary("initdb").c_str(), X_OK) == 0) {
      return absl::OkStatus();
    }
    return Error(
        absl::StatusCode::kNotFound, "POSTGRES_NOT_INSTALLED",
        absl::StrCat(
            "PostgreSQL 15 is not installed (", Binary("postgres"),
            " is missing). Install it with: apt-get install postgresql-15 — or run ./dev setup"));
  }

  // Decides where the server's files lie and makes the folders.
  absl::Status PrepareHome(const DataFolder& folder) {
    home = folder.root() / "postgres";
    std::error_code code;
    if (::getuid() == 0) {
      user = kUser;
      ASSIGN_OR_RETURN(const UserIds ids, FindUser(user));
      if (!CanEnter(user, folder.root())) {
        const fs::path link = home;
        home = fs::path(kFallbackHome) / DigestOf(folder.root().string()).substr(7, 16);
        fs::create_directories(home, code);
        if (!code && !fs::exists(fs::symlink_status(link))) fs::create_symlink(home, link, code);
      } else {
        fs::create_directories(home, code);
      }
      if (!code && ::chown(home.c_str(), ids.uid, ids.gid) != 0)
        code = {errno, std::generic_category()};
    } else {
      fs::create_directories(home, code);
    }
    if (code) {
      return Error(absl::StatusCode::kPermissionDenied, "DATA_FOLDER_UNUSABLE",
                   absl::StrCat("cannot prepare ", home.string(), ": ", code.message(),
                                "; choose another data folder with --data"));
    }
    ::chmod(home.c_str(), 0700);
    home = fs::canonical(home);
    sockets = home;
    constexpr size_t kSocketName = 32;
    if (sockets.string().size() + kSocketName > 107) {
      sockets = fs::path("/tmp") / ("crossover-pg-" + DigestOf(home.string()).substr(7, 16));
      fs::create_directories(sockets, code);
      if (!user.empty()) {
        ASSIGN_OR_RETURN(const UserIds ids, FindUser(user));
        if (::chown(sockets.c_str(), ids.uid, ids.gid) != 0)
          return absl::UnavailableError("cannot chown " + sockets.string());
      }
      ::chmod(sockets.c_str(), 0700);
    }
    return absl::OkStatus();
  }

  fs::path Data() const { return home / "data"; }
  fs::path Log() const { return home / "postgres.log"; }

  // Makes the cluster beside its place and renames it: a kill in between leaves no half of one.
  absl::Status Initialise() {
    std::error_code code;
    if (fs::exists(Data() / "PG_VERSION", code)) return absl::OkStatus();
    const fs::path partial = home / "data.partial";
    fs::remove_all(partial, code);
    logger.Info("postgres_initialising", {{"folder", Data().string()}});
    ASSIGN_OR_RETURN(const int status,
                     RunToEnd({.argv = {Binary("initdb"), "-D", partial.string(), "-U", "postgres",
                                        "-A", "trust", "-E", "UTF8", "--locale=C",
                                        "--data-checksums", "--no-instructions"},
                               .user = user,
                               .output = Log(),
                               .directory = "/"}));
    if (status != 0)
      return StartFailed("could not be initialised (initdb " + DescribeExit(status) + ")", Log());
    fs::rename(partial, Data(), code);
    if (code) return StartFailed("could not be put in place: " + code.message(), Log());
    return absl::OkStatus();
  }

  // A server whose platform was killed is usually ending already (death signal); it gets some time,
  // then it is told.
  absl::Status EndLeftOver() {
    for (const auto& [number, patience] : std::vector<std::pair<int, absl::Duration>>{
             {0, absl::Seconds(5)}, {SIGINT, absl::Seconds(20)}, {SIGQUIT, absl::Seconds(10)}}) {
      const pid_t pid = LeftOver(Data());
      if (pid == 0) return absl::OkStatus();
      if (number != 0) {
        logger.Warning("postgres_left_over", {{"pid", pid}, {"signal", number}});
        ::kill(pid, number);
      }
      const absl::Duration end = clock.SteadyNow() + patience;
      while (LeftOver(Data()) != 0 && clock.SteadyNow() < end)
        clock.SleepFor(absl::Milliseconds(20));
    }
    if (LeftOver(Data()) == 0) return absl::OkStatus();
    return StartFailed(
        absl::StrCat("of an earlier platform (process ", LeftOver(Data()), ") does not end"),
        Log());
  }

  // After a crash the number in postmaster.pid may belong to another process by now. Postgres would
  // take it for a running server and refuse to start, if it is one of its own user.
  void RemoveStalePidFile() const {
    const pid_t pid = PidInFile(Data());
    if (pid == 0 || ::kill(pid, 0) != 0 || IsInUse(Data())) return;  // Postgres itself knows better
    std::error_code code;
    fs::remove(Data() / "postmaster.pid", code);
    logger.Warning("postgres_stale_pid_file",
                   {{"pid", pid}, {"folder", Data().string()}, {"removed", !code}});
  }

  SpawnOptions Command() const {
    RemoveStalePidFile();
    SpawnOptions out{.argv = {Binary("postgres"), "-D", Data().string(), "-k", sockets.string()},
                     .user = user,
                     .output = Log(),
                     .directory = Data()};
    for (const std::string& setting :
         {std::string("listen_addresses="),
          absl::StrCat("max_connections=", options.max_connections),
          std::string("unix_socket_permissions=0700"), std::string("lc_messages=C"),
          std::string("fsync=on"), std::string("log_min_messages=warning"),
          std::string("password_encryption=scram-sha-256")}) {
      out.argv.insert(out.argv.end(), {"-c", setting});
    }
    return out;
  }

  absl::Status WaitUntilReady(const Child& child) {
    const absl::Duration end = clock.SteadyNow() + options.start_timeout;
    for (;;) {
      const absl::Status status = pg::EnsureDatabase(Dsn("postgres"), "crossover");
      if (status.ok()) return status;
      if (child.restarts() >= 3) return StartFailed("ends again and again", Log());
      if (clock.SteadyNow() >= end) {
        return StartFailed(
            absl::StrCat("did not answer within ", absl::FormatDuration(options.start_timeout)),
            Log());
      }
      clock.SleepFor(absl::Milliseconds(20));
    }
  }

  const PostgresOptions options;
  Clock& clock;
  Logger& logger;
  std::string user;
  fs::path home;
  fs::path sockets;
  std::string dsn;
  std::unique_ptr<Child> child;
};

Postgres::Postgres(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Postgres::~Postgres() { Stop(); }

absl::StatusOr<std::unique_ptr<Postgres>> Postgres::Start(PostgresOptions options,
                                                          const DataFolder& folder, Clock& clock,
                                                          Logger& logger,
                                                          metrics::Registry& registry) {
  auto impl = std::make_unique<Impl>(std::move(options), clock, logger);
  RETURN_IF_ERROR(impl->CheckInstalled());
  RETURN_IF_ERROR(impl->PrepareHome(folder));
  RETURN_IF_ERROR(impl->Initialise());
  RETURN_IF_ERROR(impl->EndLeftOver());
  impl->dsn = impl->Dsn("crossover");
  ASSIGN_OR_RETURN(impl->child, Child::Start({.name = "postgres",
                                              .command = [i = impl.get()] { return i->Command(); },
                                              .stop_signal = SIGINT,  // fast shutdown
                                              .death_signal = SIGINT,
                                              .stop_timeout = absl::Seconds(30),
                                              .healthy_after = impl->options.healthy_after},
                                             clock, logger, registry));
  RETURN_IF_ERROR(impl->WaitUntilReady(*impl->child));
  return std::unique_ptr<Postgres>(new Postgres(std::move(impl)));
}

const std::string& Postgres::dsn() const { return impl_->dsn; }
pid_t Postgres::pid() const { return impl_->child->pid(); }
int Postgres::restarts() const { return impl_->child->restarts(); }

void Postgres::Stop() {
  if (impl_->child != nullptr) impl_->child->Stop();
}

}  // namespace crossover::platform
