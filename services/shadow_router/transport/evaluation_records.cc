#include "services/shadow_router/transport/evaluation_records.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/list/resource_name.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/transport/convert.h"

namespace crossover::router {
namespace {

namespace eval = ::crossover::evaluation::v1;

constexpr absl::Duration kTimeout = absl::Seconds(2);

// Of an adapter that was named by its alias: the digest of a route that names it so as well, which
// nobody resolves. An alias never changes its adapter. "" for others.
absl::StatusOr<std::string> DigestAsNamed(type::v1::System system) {
  if (!system.has_adapter() || !absl::StartsWith(system.adapter().model(), "ft:"))
    return std::string();
  system.mutable_adapter()->clear_digest();
  ASSIGN_OR_RETURN(const System named, FromProto(system, "systems"));
  return SystemDigest(named);
}

absl::StatusOr<std::vector<std::string>> SystemsOfRun(eval::EvaluationService::Stub& stub,
                                                      const std::string& name) {
  eval::GetRunRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const eval::Run run, rpc::Invoke(stub, &eval::EvaluationService::Stub::GetRun,
                                                    request, {.timeout = kTimeout}));
  if (run.state() != eval::Run::SUCCEEDED) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
        absl::StrCat(name, " is ", absl::AsciiStrToLower(eval::Run::State_Name(run.state())),
                     "; only a run that has ended well says how good a candidate is"));
  }
  std::vector<std::string> digests;
  for (const eval::SystemResult& result : run.results()) digests.push_back(result.system_digest());
  for (const type::v1::System& system : run.systems()) {
    ASSIGN_OR_RETURN(const std::string named, DigestAsNamed(system));
    if (!named.empty() && std::find(digests.begin(), digests.end(), named) == digests.end())
      digests.push_back(named);
  }
  return digests;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> EvaluationRecords::SystemsOf(const std::string& name) {
  if (list::ParseName(name, "projects/*/runs/*").ok()) return SystemsOfRun(*stub_, name);
  eval::GetComparisonRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const eval::Comparison comparison,
                   rpc::Invoke(*stub_, &eval::EvaluationService::Stub::GetComparison, request,
                               {.timeout = kTimeout}));
  return std::vector<std::string>{comparison.baseline(), comparison.candidate()};
}

}  // namespace crossover::router
