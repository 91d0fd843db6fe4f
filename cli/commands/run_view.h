// What commands that show evaluation runs share.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/client/context.h"
#include "cli/output/terminal.h"
#include "crossover/evaluation/v1/run.pb.h"

namespace crossover::cli {

// What tables call a run's system: its display name, else prompt and model in short.
std::string SystemLabelOf(const evaluation::v1::Run& run, int index);

// "support-test" of projects/*/suites/support-test/versions/*.
std::string SuiteLabel(const std::string& suite_version);

// The comparison of two of a run's systems, by their places. The server keeps it.
absl::StatusOr<evaluation::v1::Comparison> CompareSystems(Context& context,
                                                          const evaluation::v1::Run& run,
                                                          int baseline, int candidate);

// "better", "worse" or "not significant", in its colour.
std::string JudgementText(const Terminal& terminal,
                          const evaluation::v1::Comparison::Metric& metric);

// An adjusted p-value: "<0.001", "0.04", "-" where there is no test.
std::string PValueText(double p_value);

}  // namespace crossover::cli
