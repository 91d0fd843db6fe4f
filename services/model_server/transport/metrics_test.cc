#include "services/model_server/transport/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::HasSubstr;

class InferenceMetricsTest : public ModelFixture {
 protected:
  std::string Exposed() {
    metrics_.Refresh(*models_);
    return registry_.Expose();
  }

  metrics::Registry registry_{"test"};
  InferenceMetrics metrics_{registry_};
};

TEST_F(InferenceMetricsTest, CountsAreThereBeforeAnythingIsCounted) {
  const std::string text = Exposed();
  for (const char* line :
       {"crossover_inference_queue_calls 0\n", "crossover_inference_preemptions_total 0\n",
        "crossover_inference_draft_tokens_total{outcome=\"accepted\"} 0\n",
        "crossover_inference_draft_tokens_total{outcome=\"rejected\"} 0\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(InferenceMetricsTest, WhatEnginesCountIsExportedOnce) {
  ASSERT_OK(models_->LoadBase(base_, {"small"}).status());
  engine().SetStats({.queued = 3,
                     .preemptions_total = 5,
                     .drafted_tokens_total = 40,
                     .accepted_drafts_total = 30});
  Exposed();
  engine().SetStats({.queued = 2,
                     .preemptions_total = 6,
                     .drafted_tokens_total = 50,
                     .accepted_drafts_total = 37});
  const std::string text = Exposed();
  for (const char* line :
       {"crossover_inference_queue_calls 2\n", "crossover_inference_preemptions_total 6\n",
        "crossover_inference_draft_tokens_total{outcome=\"accepted\"} 37\n",
        "crossover_inference_draft_tokens_total{outcome=\"rejected\"} 13\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(InferenceMetricsTest, CountersDoNotFallWithAnEngineThatLeaves) {
  ASSERT_OK(models_->LoadBase(base_, {"small"}).status());
  engine().SetStats({.preemptions_total = 6});
  Exposed();
  engine().SetStats({});
  EXPECT_THAT(Exposed(), HasSubstr("crossover_inference_preemptions_total 6\n"));
  engine().SetStats({.preemptions_total = 2});
  EXPECT_THAT(Exposed(), HasSubstr("crossover_inference_preemptions_total 8\n"));
}

}  // namespace
}  // namespace crossover::inference
