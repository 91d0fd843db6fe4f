#include "cli/commands/run_view.h"

#include <memory>

#include "cli/client/system_argument.h"
#include "cli/output/format.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"

namespace crossover::cli {

namespace evaluation = ::crossover::evaluation::v1;

std::string SystemLabelOf(const evaluation::Run& run, int index) {
  if (index < run.results_size() && !run.results(index).display_name().empty())
    return run.results(index).display_name();
  if (index < run.systems_size()) return SystemLabel(run.systems(index));
  return index < run.results_size() ? ShortDigest(run.results(index).system_digest()) : "";
}

std::string SuiteLabel(const std::string& suite_version) {
  const size_t suite = suite_version.find("/suites/");
  if (suite == std::string::npos) return suite_version;
  return suite_version.substr(suite + 8, suite_version.find("/versions/") - suite - 8);
}

absl::StatusOr<evaluation::Comparison> CompareSystems(Context& context, const evaluation::Run& run,
                                                      int baseline, int candidate) {
  auto stub = evaluation::EvaluationService::NewStub(context.Channel());
  evaluation::CompareRequest request;
  request.set_parent(context.Project());
  request.add_runs(run.name());
  request.set_baseline(run.systems(baseline).digest());
  request.set_candidate(run.systems(candidate).digest());
  return context.Call(stub, &evaluation::EvaluationService::Stub::Compare, request, true);
}

std::string JudgementText(const Terminal& terminal, const evaluation::Comparison::Metric& metric) {
  if (!metric.significant()) return Styled(terminal, Style::kDim, "not significant");
  const bool better = metric.higher_is_better() == (metric.difference().point() > 0);
  return better ? Styled(terminal, Style::kGood, "better") : Styled(terminal, Style::kBad, "worse");
}

std::string PValueText(double p_value) {
  return p_value >= 0 && p_value < 0.001 ? "<0.001" : Number(p_value);
}

}  // namespace crossover::cli
