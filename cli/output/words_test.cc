#include "cli/output/words.h"

#include <gtest/gtest.h>

namespace crossover::cli {
namespace {

TEST(PlainWordsTest, StatesAndKindsAreSpelledAsInTables) {
  EXPECT_EQ(PlainWords("job 06bq is SUCCEEDED; Cancel needs BLOCKED, QUEUED or RUNNING"),
            "job 06bq is succeeded; Cancel needs blocked, queued or running");
  EXPECT_EQ(PlainWords("is REVERSE_SHADOW"), "is reverse-shadow");
}

TEST(PlainWordsTest, FieldsAreNamedAsSetTakesThem) {
  EXPECT_EQ(PlainWords("spec.training.epochs is 0; must be above 0"),
            "epochs is 0; must be above 0");
  EXPECT_EQ(PlainWords("spec.training.adapter.r"), "adapter.r");
  EXPECT_EQ(PlainWords("job.spec.sweep.base.epochs"), "epochs");
  EXPECT_EQ(PlainWords("job.spec.model_export.format"), "format");
  EXPECT_EQ(PlainWords("job.spec.sweep.axes"), "axes");
  EXPECT_EQ(PlainWords("job.base_model is 'x'"), "base_model is 'x'");
}

TEST(PlainWordsTest, WhatIsThePersonsOwnStays) {
  for (const char* text :
       {"is 'RUNNING'", "task \"LABEL READY\"", "projects/default/jobs/RUNNING", "the job. It is",
        "a job's file.spec.yaml", "REQUEST_ID_REUSED", "cannot read spec.", "`kind: SFT`", ""}) {
    EXPECT_EQ(PlainWords(text), text);
  }
}

}  // namespace
}  // namespace crossover::cli
