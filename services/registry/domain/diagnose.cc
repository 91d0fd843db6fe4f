#include "services/registry/domain/diagnose.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace crossover::registry {
namespace {

// Thresholds of the gate's sufficient condition b: longer prompts or more examples are a reason to
// fine-tune.
constexpr double kLongPrompt = 2000;
constexpr double kManyExamples = 5;
// A prompt with more conditions in prose than this is a program without tests.
constexpr double kManyConditions = 8;
constexpr size_t kMaxQuotes = 5;

struct KnownRemedy {
  std::string_view symptom;
  std::string_view remedy;
  std::string_view rung;
};

constexpr std::array<KnownRemedy, 7> kRemedies = {{
    {"unknown_product", "retrieval over the product's documents", "retrieval"},
    {"wrong_format", "a JSON schema with structured output", "structured_output"},
    {"refuses", "say in the system prompt what is in scope", "system_prompt"},
    {"hallucinates", "retrieval, and an instruction to answer from the documents only",
     "retrieval"},
    {"too_slow", "a smaller model with a better prompt", "larger_model"},
    {"too_expensive", "caching, batching and a shorter prompt", "system_prompt"},
    {"voice", "few-shot examples of the voice", "few_shot"},
}};

int64_t Tokens(std::string_view text) { return static_cast<int64_t>((text.size() + 3) / 4); }

std::vector<std::string> Sentences(const std::string& text) {
  std::vector<std::string> sentences;
  for (absl::string_view piece :
       absl::StrSplit(text, absl::ByAnyChar(".\n;"), absl::SkipWhitespace())) {
    sentences.emplace_back(absl::StripAsciiWhitespace(piece));
  }
  return sentences;
}

bool IsConditional(const std::string& sentence) {
  const std::string lower = absl::StrCat(" ", absl::AsciiStrToLower(sentence), " ");
  static constexpr std::array<const char*, 7> kWords = {
      " if ", " unless ", " except ", " otherwise ", " when ", " only when ", " in case "};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&lower](const char* word) { return absl::StrContains(lower, word); });
}

void AddSign(Diagnosis& diagnosis, CeilingSign sign) {
  if (sign.value > sign.threshold) diagnosis.signs.push_back(std::move(sign));
}

void LookAtLength(const prompt::PromptSpec& spec, Diagnosis& diagnosis) {
  int64_t system = 0;
  int64_t instructions = 0;
  int64_t examples = 0;
  for (const prompt::TemplateMessage& message : spec.messages) {
    const bool is_system = message.role == "system" || message.role == "developer";
    (is_system ? system : instructions) += Tokens(message.content);
  }
  for (const dataset::Row& row : spec.few_shot) {
    for (const dataset::Message& message : row.messages)
      examples += Tokens(dataset::TextOf(message));
  }
  const int64_t schema = Tokens(spec.response_format);
  diagnosis.sections = {{"system", system},
                        {"instructions", instructions},
                        {"few_shot", examples},
                        {"schema", schema}};
  std::erase_if(diagnosis.sections,
                [](const PromptSection& section) { return section.tokens == 0; });
  const auto all = static_cast<double>(system + instructions + examples + schema);
  AddSign(diagnosis,
          {"long_prompt",
           absl::StrCat("about ", static_cast<int64_t>(all), " tokens go with every request"),
           all,
           kLongPrompt,
           {}});
  const auto count = static_cast<double>(spec.few_shot.size());
  AddSign(diagnosis, {"many_examples",
                      absl::StrCat(spec.few_shot.size(), " examples go with every request"),
                      count,
                      kManyExamples,
                      {}});
}

void LookAtInstructions(const prompt::PromptSpec& spec, Diagnosis& diagnosis) {
  CeilingSign conditions{"prose_conditionals", "", 0, kManyConditions, {}};
  CeilingSign redundant{"redundant", "", 0, 0, {}};
  std::set<std::string> seen;
  for (const prompt::TemplateMessage& message : spec.messages) {
    for (const std::string& sentence : Sentences(message.content)) {
      if (IsConditional(sentence)) {
        ++conditions.value;
        if (conditions.quotes.size() < kMaxQuotes) conditions.quotes.push_back(sentence);
      }
      const bool repeated =
          sentence.size() > 15 && !seen.insert(absl::AsciiStrToLower(sentence)).second;
      if (!repeated) continue;
      ++redundant.value;
      if (redundant.quotes.size() < kMaxQuotes) redundant.quotes.push_back(sentence);
    }
  }
  conditions.message =
      absl::StrCat(static_cast<int64_t>(conditions.value), " conditions are written in prose");
  redundant.message =
      absl::StrCat(static_cast<int64_t>(redundant.value), " instructions are given twice");
  AddSign(diagnosis, std::move(conditions));
  AddSign(diagnosis, std::move(redundant));
}

void AnswerSymptom(const std::string& symptom, Diagnosis& diagnosis) {
  std::string known;
  for (const KnownRemedy& remedy : kRemedies) {
    if (remedy.symptom == symptom) {
      diagnosis.remedies.push_back({symptom, std::string(remedy.remedy), std::string(remedy.rung)});
      return;
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(remedy.symptom));
  }
  diagnosis.remedies.push_back({symptom, "not a known symptom; known are: " + known, ""});
}

}  // namespace

Diagnosis Diagnose(const prompt::PromptSpec* spec, const std::vector<std::string>& symptoms) {
  Diagnosis diagnosis;
  if (spec != nullptr) {
    LookAtLength(*spec, diagnosis);
    LookAtInstructions(*spec, diagnosis);
  }
  std::stable_sort(diagnosis.signs.begin(), diagnosis.signs.end(),
                   [](const CeilingSign& a, const CeilingSign& b) {
                     return a.value / std::max(a.threshold, 1.0) >
                            b.value / std::max(b.threshold, 1.0);
                   });
  std::set<std::string> answered;
  for (const std::string& symptom : symptoms) {
    if (answered.insert(symptom).second) AnswerSymptom(symptom, diagnosis);
  }
  return diagnosis;
}

}  // namespace crossover::registry
