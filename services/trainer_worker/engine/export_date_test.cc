// Exports print the date that their adapter was trained with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/testing_adapter.h"
#include "llm/tokenizer/testing_folder.h"
#include "services/trainer_worker/engine/llm_train_engine.h"

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

// With a system turn that is always there and begins with a date, as in Llama 3.1's.
constexpr char kDatedTemplate[] =
    "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{{ '<|im_start|>system\nToday: ' + date_string + '\n' + system + '<|im_end|>\n' }}"
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + "
    "'<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

class ExportDateTest : public ::testing::Test {
 protected:
  ExportDateTest() {
    const llm::ModelConfig model = llm::SmallFolderModel();
    EXPECT_OK(llm::WriteSmallFolder(inputs_.base, model, 5'000'000'000, kDatedTemplate));
    EXPECT_OK(llm::WriteSmallAdapter(inputs_.adapter, model, "sha256:base"));
  }

  absl::StatusOr<std::string> Modelfile(const std::string& date) {
    const std::filesystem::path folder = folder_ / ("exported-" + date);
    const absl::Status written =
        engine_.Export({ExportFormat::kSafetensors, date}, inputs_, folder);
    if (!written.ok()) return written;
    return llm::ReadTextFile(folder / "Modelfile");
  }

  crossover::testing::TempDir folder_;
  ExportInputs inputs_{.base = folder_ / "base",
                       .base_digest = "sha256:base",
                       .adapter = folder_ / "adapter",
                       .adapter_digest = "sha256:a"};
  LlmTrainEngine engine_{{.threads = 1}};
};

TEST_F(ExportDateTest, TheModelfileHasTheJobsDateElseTheLibrarys) {
  ASSERT_OK_AND_ASSIGN(const std::string given, Modelfile("2025-02-01"));
  EXPECT_THAT(given, HasSubstr("Today: 01 Feb 2025"));
  ASSERT_OK_AND_ASSIGN(const std::string none, Modelfile(""));
  EXPECT_THAT(none, HasSubstr("Today: 26 Jul 2024"));
}

TEST_F(ExportDateTest, WhatIsNoDateIsRefused) {
  EXPECT_THAT(Modelfile("yesterday").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'yesterday'")));
}

}  // namespace
}  // namespace crossover::worker
