#include "services/platform/exposition.h"

#include <gtest/gtest.h>

namespace crossover::platform {
namespace {

TEST(ExpositionTest, AFamilyOfSeveralProcessesAppearsOnceWithAllItsSamples) {
  const std::string a =
      "# HELP crossover_build_info What runs.\n# TYPE crossover_build_info "
      "gauge\ncrossover_build_info{service=\"a\"} 1\n"
      "# HELP only_a A.\n# TYPE only_a counter\nonly_a 3\n";
  const std::string b =
      "# HELP crossover_build_info What runs.\n# TYPE crossover_build_info "
      "gauge\ncrossover_build_info{service=\"b\"} 1\n";
  EXPECT_EQ(
      MergeExpositions({a, b, ""}),
      "# HELP crossover_build_info What runs.\n# TYPE crossover_build_info "
      "gauge\ncrossover_build_info{service=\"a\"} 1\n"
      "crossover_build_info{service=\"b\"} 1\n# HELP only_a A.\n# TYPE only_a counter\nonly_a 3\n");
}

}  // namespace
}  // namespace crossover::platform
