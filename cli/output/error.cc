#include "cli/output/error.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/output/table.h"
#include "cli/output/words.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::cli {
namespace {

constexpr std::pair<std::string_view, std::string_view> kAdvice[] = {
    {kUnreachable,
     "start it with `crossover up`, or name a server with --server HOST:PORT or CROSSOVER_SERVER"},
    {"API_KEY_MISSING",
     "set CROSSOVER_API_KEY to a key of the project, or CROSSOVER_API_KEY_FILE to a file with one"},
    {"API_KEY_INVALID",
     "set CROSSOVER_API_KEY, or the file that CROSSOVER_API_KEY_FILE names, to a key that is "
     "active "
     "and not expired"},
    {"ROLE_INSUFFICIENT", "ask an admin of the project for a key with the role that is needed"},
    {"BASE_MODEL_UNKNOWN",
     "`crossover models` lists the base models; `crossover models import` takes another"},
    {"NOT_IMPLEMENTED",
     "`crossover --version` and the server's should be the same; `crossover status` shows what it "
     "runs"},
    {"MODEL_NOT_FOUND", "`crossover models` lists models and adapters"},
    {"DATASET_VERSION_UNKNOWN",
     "`crossover dataset list DATASET` lists sealed versions; `crossover dataset seal` makes one"},
    {"TOO_FEW_ROWS", "training takes 10 rows or more; 200 or more are worth it"},
    {"ROW_INVALID", "correct the lines named above and import again"},
    {"FILE_NOT_READY", "`crossover dataset import` shows what is wrong, line by line"},
    {"PROMPT_NOT_EVALUATED", "evaluate it first (`crossover evaluate`), or give --override REASON"},
    {"CANDIDATE_NOT_EVALUATED",
     "evaluate it first (`crossover evaluate`), or give --override REASON"},
    {"GATE_NOT_MET",
     "`crossover experiment explain` says what is missing; `advance --reason` overrides it"},
    {"EXPERIMENT_ACTIVE", "`crossover experiment status` shows it; `abort` or `rollback` ends it"},
    {"ETAG_MISMATCH",
     "somebody else changed it meanwhile: look at it again and repeat the command"},
    {"REQUEST_ID_REUSED", "repeat the command without --request-id"},
    {"SCHEMA_OUTDATED", "run `crossover-platform migrate` with the new version"},
    {"DISK_FULL",
     "make room on the server's disk, with `crossover up` that of the data folder it was started "
     "with: --data or CROSSOVER_DATA, else ~/.local/share/crossover"},
    {"NO_CAPABLE_WORKER", "`crossover status` lists the workers and what they have"},
    {"POSTGRES_UNAVAILABLE",
     "the platform restarts its database by itself; its log says why it stopped"},
};

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

}  // namespace

absl::Status UsageError(std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, kUsage, message);
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  if (HasReason(status, kUsage)) return kExitUsage;
  if (HasReason(status, kUnreachable)) return kExitUnreachable;
  return kExitFailure;
}

std::string AdviceFor(std::string_view reason, const std::string& command) {
  if (reason == kUsage) return absl::StrCat("`", command, " --help` shows arguments and examples");
  for (const auto& [known, advice] : kAdvice) {
    if (known == reason) return std::string(advice);
  }
  return "";
}

std::string RenderError(const Terminal& terminal, const absl::Status& status,
                        const std::string& command) {
  const ErrorDetail detail = DetailOf(status);
  // What this program says names the person's own files and words.
  const bool own = detail.reason.rfind("CLI_", 0) == 0;
  const auto words = [own](std::string_view text) {
    return own ? std::string(text) : PlainWords(text);
  };
  std::string out = absl::StrCat(Styled(terminal, Style::kBad, "error:"), " ",
                                 words(ToStd(status.message())), "\n");
  Details lines;
  for (const FieldViolation& violation : detail.violations) {
    lines.Add("  " + (violation.field.empty() ? std::string("field") : words(violation.field)),
              words(violation.description));
  }
  if (!own) lines.Add("  reason", detail.reason);
  for (const auto& [name, value] : detail.metadata) lines.Add("  " + name, value);
  // An error may know better than its reason.
  if (!detail.metadata.contains("try")) lines.Add("  try", AdviceFor(detail.reason, command));
  return out + lines.Render(terminal);
}

std::string RenderErrorJson(const absl::Status& status) {
  const ErrorDetail detail = DetailOf(status);
  nlohmann::ordered_json error;
  error["code"] = CodeName(status.code());
  error["reason"] = detail.reason;
  error["message"] = ToStd(status.message());
  error["metadata"] = detail.metadata;
  error["violations"] = nlohmann::ordered_json::array();
  for (const FieldViolation& violation : detail.violations) {
    error["violations"].push_back(
        {{"field", violation.field}, {"description", violation.description}});
  }
  nlohmann::ordered_json body;
  body["error"] = std::move(error);
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace crossover::cli
