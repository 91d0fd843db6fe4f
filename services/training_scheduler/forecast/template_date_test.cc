// A training shows the model the prompt that it is served with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/testing/matchers.h"
#include "llm/chat/chat_template.h"
#include "llm/tokenizer/testing_folder.h"
#include "services/training_scheduler/domain/job_spec.h"

namespace crossover::scheduler {
namespace {

// Llama 3.1's, as far as no tools are called: the system turn is always there and begins with a
// date.
constexpr char kLlama31Template[] = R"({{- '<|begin_of_text|>' }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}
{{- 'Today Date: ' + date_string + '\n\n' + system_message + '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
)";

std::shared_ptr<const llm::Tokenizer> LlamaMarkers() {
  llm::Tokenizer::Parts parts = llm::SmallTokenizer();
  for (const char* name :
       {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}) {
    parts.added.push_back(
        {.text = name, .id = static_cast<int32_t>(parts.tokens.size()), .special = true});
    parts.tokens.emplace_back(name);
  }
  parts.eos_id = parts.added.back().id;
  return *llm::Tokenizer::Create(std::move(parts));
}

std::shared_ptr<const llm::ChatTemplate> Dated(const std::string& date) {
  llm::ChatTemplateOptions options;
  EXPECT_TRUE(date.empty() || absl::ParseCivilTime(date, &options.date));
  return *llm::ChatTemplate::FromText(kLlama31Template, LlamaMarkers(), options);
}

// Whether the row that a job of this spec trains on begins with the prompt of a request that names
// no date.
bool TrainsOnThePromptOfServing(const TrainingSpec& spec) {
  const ResolvedSpec resolved = Resolve(spec, {.architecture = "llama"}, {.train_rows = 100});
  const llm::ChatMessage asked{.role = "user", .content = "Two and two?"};
  const llm::ChatMessage answer{.role = "assistant", .content = "Four."};
  const llm::TrainingSample row = *Dated(resolved.template_date)->Training({asked, answer});
  const std::vector<int32_t> prompt = *Dated("")->Prompt({asked});
  return row.ids.size() > prompt.size() &&
         std::equal(prompt.begin(), prompt.end(), row.ids.begin());
}

TEST(TemplateDateTest, AJobThatNamesNoDateTrainsOnThePromptOfServing) {
  EXPECT_TRUE(TrainsOnThePromptOfServing({}));
  // The date does stand in the prompt.
  EXPECT_FALSE(TrainsOnThePromptOfServing({.template_date = "2026-11-22"}));
}

TEST(TemplateDateTest, TheDomainsDateIsTheLibrarys) {
  EXPECT_EQ(absl::FormatCivilTime(llm::ChatTemplateOptions().date), kDefaultTemplateDate);
}

}  // namespace
}  // namespace crossover::scheduler
