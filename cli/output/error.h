// Errors as people and programs read them, and the exit codes they end in.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/output/terminal.h"

namespace crossover::cli {

// Documented in `crossover --help`; scripts rely on them.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;      // the server said no, a job failed, a cutoff was missed
inline constexpr int kExitUsage = 2;        // wrong arguments or files
inline constexpr int kExitUnreachable = 3;  // no server there

// Reasons of the CLI's own errors; never sent by a server.
inline constexpr char kUsage[] = "CLI_USAGE";              // arguments or local files are wrong
inline constexpr char kUnreachable[] = "CLI_UNREACHABLE";  // nothing answers at the address
inline constexpr char kInterrupted[] = "CLI_INTERRUPTED";  // Ctrl-C while watching
inline constexpr char kOutcome[] = "CLI_OUTCOME";  // the work was done and its outcome is bad

// INVALID_ARGUMENT with reason CLI_USAGE.
absl::Status UsageError(std::string_view message);

int ExitCode(const absl::Status& status);

// "error: …" with reason, fields and what to do, ending with a new line. `command`: the words of
// the one that failed, whose --help explains a usage error.
std::string RenderError(const Terminal& terminal, const absl::Status& status,
                        const std::string& command);
// {"error": {"code", "reason", "message", "metadata", "violations"}} on one line.
std::string RenderErrorJson(const absl::Status& status);

// What a person can do about a reason of that command; empty when there is nothing to add to the
// message.
std::string AdviceFor(std::string_view reason, const std::string& command);

}  // namespace crossover::cli
