// Known answers on a public data set that is not part of the repository: skipped where it is
// absent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "services/data_curation/domain/row_key.h"
#include "services/data_curation/domain/similarity.h"
#include "services/data_curation/domain/testing.h"
#include "services/data_curation/domain/text.h"

namespace crossover::curation {
namespace {

struct Example {
  std::string text;
  std::string label;
};

// RFC 4180, as much of it as this file uses.
std::vector<Example> ReadCsv(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream buffer;
  buffer << file.rdbuf();
  const std::string bytes = buffer.str();
  std::vector<Example> examples;
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (quoted && c == '"' && i + 1 < bytes.size() && bytes[i + 1] == '"') {
      fields.back() += bytes[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c == '\n' && !quoted) {
      examples.push_back({fields[0], fields.at(1)});
      fields.assign(1, "");
    } else if (c != '\r' || quoted) {
      fields.back() += c;
    }
  }
  examples.erase(examples.begin());  // header
  return examples;
}

class Banking77Test : public PipelineFixture {
 protected:
  void SetUp() override {
    PipelineFixture::SetUp();
    const char* source = std::getenv("CROSSOVER_SOURCE_DIR");
    const std::filesystem::path folder = std::filesystem::path(source == nullptr ? "." : source) /
                                         ".." / "shared" / "data" / "banking77";
    if (!std::filesystem::exists(folder / "train.csv")) {
      GTEST_SKIP() << folder
                   << " is not there: put banking77's train.csv and test.csv into it to check the "
                      "known answers";
    }
    train_ = ReadCsv(folder / "train.csv");
    test_ = ReadCsv(folder / "test.csv");
    ASSERT_EQ(train_.size(), 10003u);
    ASSERT_EQ(test_.size(), 3080u);
  }

  PipelineInput FileOf(const std::vector<Example>& examples, const std::string& split) {
    std::string text;
    for (const Example& example : examples) text += JsonRow(example.text, example.label);
    return File(text, split);
  }

  std::vector<Example> train_;
  std::vector<Example> test_;
};

TEST_F(Banking77Test, Has60DuplicateRowsAnd2TextsWithTwoLabels) {
  const auto result = Run(
      {FileOf(train_, ""), FileOf(test_, "")},
      {{"exact_duplicates", {{"normalise", true}}}, {"label_conflicts", {{"normalise", true}}}});
  ASSERT_OK(result);
  // 60 rows repeat an earlier text: 58 with its label, and 2 with another label, whose pairs the
  // second stage takes.
  EXPECT_EQ(StepOf(*result, "exact_duplicates").dropped.at("duplicate"), 58);
  EXPECT_EQ(StepOf(*result, "label_conflicts").dropped.at("label_conflict"), 2 * 2);
}

TEST_F(Banking77Test, Has25TestRowsVerbatimInTrain) {
  std::set<std::string> train;
  const auto words = [](const Example& example) {
    const std::string normalised = Normalise(example.text);
    return JoinWords(Words(normalised));
  };
  for (const Example& example : train_) train.insert(words(example));
  int verbatim = 0;
  for (const Example& example : test_) verbatim += train.contains(words(example));
  EXPECT_EQ(verbatim, 25);
}

TEST_F(Banking77Test, ElevenPercentOfTestHaveANeighbourInTrainAndTheIndexFindsThem) {
  const auto shingles = [](const Example& example) {
    return CharShingles(Normalise(example.text), 3);
  };
  std::vector<ShingleSet> train;
  std::map<uint64_t, std::vector<int>> holders;
  SimilarityIndex index({.kind = SimilarityOptions::Kind::kChar, .char_n = 3},
                        [this](int64_t id) { return train_[id].text; });
  for (size_t i = 0; i < train_.size(); ++i) {
    train.push_back(shingles(train_[i]));
    for (uint64_t shingle : train.back()) holders[shingle].push_back(static_cast<int>(i));
    index.Keep(static_cast<int64_t>(i), index.Prepare(train_[i].text));
  }
  int exact = 0;
  int found = 0;
  for (const Example& example : test_) {
    const ShingleSet set = shingles(example);
    std::vector<int> common(train.size(), 0);
    for (uint64_t shingle : set) {
      const auto holder = holders.find(shingle);
      if (holder == holders.end()) continue;
      for (int i : holder->second) ++common[i];
    }
    bool near = false;
    for (size_t i = 0; i < train.size(); ++i) {
      near |= common[i] >= 0.8 * static_cast<double>(set.size() + train[i].size() - common[i]);
    }
    const bool matched = !index.Find(index.Prepare(example.text)).empty();
    EXPECT_TRUE(near || !matched) << "reported without being near: " << example.text;
    exact += near;
    found += matched;
  }
  EXPECT_EQ(exact, 339);  // 11.0 % of 3,080
  EXPECT_GE(found, 0.95 * exact);
}

TEST_F(Banking77Test, TheDefaultRecipeLeavesNoTestRowNearATrainRow) {
  const auto result = Run({FileOf(train_, "train"), FileOf(test_, "test")}, DefaultRecipe().stages);
  ASSERT_OK(result);
  const auto rows = RowsOf(*result);
  const RowStates states = StatesOf(*result);
  SimilarityIndex train({}, [&](int64_t id) { return InputText(*rows->Get(id)); });
  for (int64_t i = 0; i < rows->size(); ++i) {
    if (states[i].kept() && states[i].split == "train")
      train.Keep(i, train.Prepare(InputText(*rows->Get(i))));
  }
  int leaking = 0;
  for (int64_t i = 0; i < rows->size(); ++i) {
    if (states[i].kept() && states[i].split == "test")
      leaking += !train.Find(train.Prepare(InputText(*rows->Get(i)))).empty();
  }
  EXPECT_EQ(leaking, 0);
  for (const FunnelStep& step : result->funnel) {
    std::string dropped;
    for (const auto& [code, count] : step.dropped)
      dropped += " " + code + "=" + std::to_string(count);
    std::printf("%s: %ld -> %ld%s\n", step.stage.c_str(), step.rows_in, step.rows_out,
                dropped.c_str());
  }
}

}  // namespace
}  // namespace crossover::curation
