#include "common/process/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

extern char** environ;

namespace crossover {
namespace {

// Everything the child needs, made before fork: afterwards only async-signal-safe calls are
// allowed.
struct Plan {
  std::vector<std::string> environment_strings;
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::optional<UserIds> user;
  pid_t parent = 0;
  int report_fd = -1;
};

[[noreturn]] void Fail(int report_fd) {
  const int code = errno;
  [[maybe_unused]] const ssize_t n = ::write(report_fd, &code, sizeof(code));
  ::_exit(127);
}

[[noreturn]] void RunChild(const SpawnOptions& options, const Plan& plan) {
  ::setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (!options.output.empty()) {
    const int fd = ::open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0) Fail(plan.report_fd);
    ::dup2(fd, STDOUT_FILENO);
    ::dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO) ::close(fd);
  }
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) {
    ::dup2(null, STDIN_FILENO);
    if (null > STDERR_FILENO) ::close(null);
  }
  if (options.nice != 0)
    ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + options.nice);
  if (plan.user) {
    if (::setgroups(0, nullptr) != 0 || ::setgid(plan.user->gid) != 0 ||
        ::setuid(plan.user->uid) != 0) {
      Fail(plan.report_fd);
    }
  }
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) Fail(plan.report_fd);
  if (options.parent_death_signal != 0) {  // after setuid, which clears it
    ::prctl(PR_SET_PDEATHSIG, options.parent_death_signal);
    if (::getppid() != plan.parent) ::_exit(126);  // the parent died in between
  }
  ::execve(plan.argv[0], plan.argv.data(), plan.environment.data());
  Fail(plan.report_fd);
}

absl::Status StartError(const SpawnOptions& options, int code) {
  const bool missing = code == ENOENT;
  return Error(missing ? absl::StatusCode::kNotFound : absl::StatusCode::kUnavailable,
               missing ? "PROGRAM_NOT_FOUND" : "PROGRAM_NOT_STARTED",
               absl::StrCat("cannot start ", options.argv[0], ": ", std::strerror(code)));
}

}  // namespace

absl::StatusOr<UserIds> FindUser(const std::string& name) {
  passwd entry;
  passwd* found = nullptr;
  std::vector<char> buffer(16 << 10);
  ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return Error(absl::StatusCode::kNotFound, "USER_NOT_FOUND",
                 "there is no user '" + name + "' on this machine");
  }
  return UserIds{found->pw_uid, found->pw_gid};
}

absl::StatusOr<pid_t> Spawn(const SpawnOptions& options) {
  Plan plan;
  for (const std::string& word : options.argv) plan.argv.push_back(const_cast<char*>(word.c_str()));
  plan.argv.push_back(nullptr);
  if (options.environment) {
    for (const auto& [key, value] : *options.environment)
      plan.environment_strings.push_back(key + "=" + value);
    for (std::string& text : plan.environment_strings) plan.environment.push_back(text.data());
  } else {
    for (char** entry = environ; *entry != nullptr; ++entry) plan.environment.push_back(*entry);
  }
  plan.environment.push_back(nullptr);
  if (!options.user.empty()) {
    ASSIGN_OR_RETURN(plan.user, FindUser(options.user));
  }
  plan.parent = ::getpid();

  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return StartError(options, errno);
  plan.report_fd = report[1];
  const pid_t pid = ::fork();
  if (pid == 0) RunChild(options, plan);
  const int fork_error = errno;
  ::close(report[1]);
  int code = 0;
  ssize_t got = 0;
  if (pid > 0) {
    do {
      got = ::read(report[0], &code, sizeof(code));
    } while (got < 0 && errno == EINTR);
  }
  ::close(report[0]);
  if (pid < 0) return StartError(options, fork_error);
  if (got == sizeof(code)) {
    ::waitpid(pid, nullptr, 0);
    return StartError(options, code);
  }
  return pid;
}

absl::StatusOr<int> RunToEnd(const SpawnOptions& options) {
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(options));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return absl::InternalError(absl::StrCat("waitpid: ", std::strerror(errno)));
  }
  return status;
}

std::string DescribeExit(int wait_status) {
  if (WIFEXITED(wait_status)) return absl::StrCat("exited with code ", WEXITSTATUS(wait_status));
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("killed by signal ", WTERMSIG(wait_status), " (",
                        ::strsignal(WTERMSIG(wait_status)), ")");
  }
  return absl::StrCat("wait status ", wait_status);
}

}  // namespace crossover
