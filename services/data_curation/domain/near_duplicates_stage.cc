// Stage `near_duplicates`: rows whose inputs are nearly equal. With equal answers one is enough and
// the later one goes; with different answers both stay, in one cluster, so that the split stage
// keeps them together.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/row_key.h"
#include "services/data_curation/domain/similarity.h"
#include "services/data_curation/domain/stage.h"
#include "services/data_curation/domain/text.h"
#include "services/data_curation/domain/union_find.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;
using Kind = SimilarityOptions::Kind;

SimilarityOptions OptionsOf(const Json& parameters) {
  const std::string kind = parameters["shingle"];
  return {.threshold = parameters["threshold"],
          .kind = kind == "word"   ? Kind::kWord
                  : kind == "char" ? Kind::kChar
                                   : Kind::kAuto,
          .word_n = parameters["word_n"],
          .char_n = parameters["char_n"],
          .min_words = parameters["min_words"]};
}

// The words that every input begins with: a template that says nothing about how alike two rows
// are.
class SharedPrefix {
 public:
  void Add(const std::string& text) {
    const std::string normalised = Normalise(text);
    const std::vector<std::string_view> words = Words(normalised);
    if (count_++ == 0) {
      prefix_.assign(words.begin(), words.end());
      return;
    }
    size_t same = 0;
    while (same < std::min(prefix_.size(), words.size()) && prefix_[same] == words[same]) ++same;
    prefix_.resize(same);
  }

  // The text's words without the prefix. Of two or three rows the prefix may be all there is, so it
  // stays.
  std::string Strip(const std::string& text) const {
    const std::string normalised = Normalise(text);
    std::vector<std::string_view> words = Words(normalised);
    const bool strip = count_ >= 10 && prefix_.size() >= 3 && words.size() > prefix_.size();
    if (strip) words.erase(words.begin(), words.begin() + static_cast<int64_t>(prefix_.size()));
    return JoinWords(words);
  }

 private:
  int64_t count_ = 0;
  std::vector<std::string> prefix_;
};

class NearDuplicatesStage final : public Stage {
 public:
  std::string_view name() const override { return "near_duplicates"; }
  int code_version() const override { return 1; }

  Json defaults() const override {
    return {{"threshold", 0.8},   // of the exact Jaccard similarity
            {"shingle", "auto"},  // auto: words from min_words words on, else characters
            {"word_n", 5},           {"char_n", 5},
            {"min_words", 20},       {"action", "drop"},  // drop | cluster (drop nothing)
            {"strip_template", true}};  // leave out the words that all inputs begin with
  }

  absl::Status Check(const Json& parameters) const override {
    const double threshold = parameters["threshold"];
    if (!(threshold >= 0.5 && threshold <= 1)) {
      return RecipeError(
          name(), "`threshold` must be 0.5 to 1: below, the 20 bands of 6 miss too many pairs");
    }
    const std::string shingle = parameters["shingle"];
    if (shingle != "auto" && shingle != "word" && shingle != "char") {
      return RecipeError(name(), "`shingle` must be auto, word or char");
    }
    const std::string action = parameters["action"];
    if (action != "drop" && action != "cluster")
      return RecipeError(name(), "`action` must be drop or cluster");
    for (const char* key : {"word_n", "char_n", "min_words"}) {
      if (parameters[key] < 1 || parameters[key] > 1000) {
        return RecipeError(name(), absl::StrCat("`", key, "` must be 1 to 1000"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<RowChange>> Run(const StageInput& input) const override {
    SharedPrefix prefix;
    if (input.parameters["strip_template"]) {
      RETURN_IF_ERROR(ForEachKept(input, [&](int64_t, const dataset::Row& row) {
        prefix.Add(InputText(row));
        return absl::OkStatus();
      }));
    }
    Pass pass(input, prefix);
    RETURN_IF_ERROR(pass.CompareAll());
    return pass.Changes(name());
  }

 private:
  // One run over the rows.
  class Pass {
   public:
    Pass(const StageInput& input, const SharedPrefix& prefix)
        : input_(input),
          prefix_(prefix),
          drop_(input.parameters["action"] == "drop"),
          index_(OptionsOf(input.parameters), [this](int64_t i) { return TextOf(i); }),
          clusters_(input.rows.size()) {}

    absl::Status CompareAll() {
      int64_t done = 0;
      for (int64_t i : Order()) {
        if (done++ % 256 == 0 && input_.cancelled && input_.cancelled()) {
          return absl::CancelledError("the run was cancelled");
        }
        RETURN_IF_ERROR(Compare(i));
      }
      return absl::OkStatus();
    }

    std::vector<RowChange> Changes(std::string_view stage) {
      std::vector<int64_t> members(input_.rows.size(), 0);
      for (int64_t i : kept_) ++members[clusters_.Find(i)];
      for (int64_t i : kept_) {
        const int64_t root = clusters_.Find(i);
        if (members[root] > 1)
          ChangeOf(i).cluster = ToDigest(input_.rows.RowDigest(root)).substr(7, 16);
      }
      std::vector<RowChange> out;
      for (auto& [row, change] : changes_) {
        for (Flag& flag : change.flags) flag.stage = stage;
        out.push_back(std::move(change));
      }
      return out;
    }

   private:
    // Rows that must not be trained on come first, so that of two near-duplicates they are the ones
    // that stay.
    std::vector<int64_t> Order() const {
      std::vector<int64_t> order;
      for (int64_t i = 0; i < input_.rows.size(); ++i) {
        if (input_.states[i].kept()) order.push_back(i);
      }
      std::stable_sort(order.begin(), order.end(), [this](int64_t a, int64_t b) {
        return SplitRank(input_.states[a].split) < SplitRank(input_.states[b].split);
      });
      return order;
    }

    absl::Status Compare(int64_t i) {
      ASSIGN_OR_RETURN(const dataset::Row row, input_.rows.Get(i));
      const PreparedText text = index_.Prepare(prefix_.Strip(InputText(row)));
      const std::vector<SimilarityIndex::Match> matches = index_.Find(text);
      const std::string answer = matches.empty() ? "" : AnswerKey(row);
      for (const SimilarityIndex::Match& match : matches) {
        ASSIGN_OR_RETURN(const dataset::Row other, input_.rows.Get(match.id));
        const bool same_answer = AnswerKey(other) == answer;
        if (same_answer && drop_) {
          Drop(i, match);
          return absl::OkStatus();
        }
        if (!same_answer)
          ChangeOf(i).flags.push_back(Evidence("similar_input_other_answer", match));
      }
      for (const SimilarityIndex::Match& match : matches) clusters_.Union(i, match.id);
      index_.Keep(i, text);
      kept_.push_back(i);
      return absl::OkStatus();
    }

    void Drop(int64_t i, const SimilarityIndex::Match& match) {
      const std::string& kept_split = input_.states[match.id].split;
      const bool leak = SplitRank(input_.states[i].split) > SplitRank(kept_split);
      RowChange& change = ChangeOf(i);
      change.drop = leak ? "leaks_into_" + kept_split : "near_duplicate";
      change.flags = {Evidence(change.drop, match)};
    }

    Flag Evidence(std::string code, const SimilarityIndex::Match& match) const {
      return {.code = std::move(code),
              .score = match.similarity,
              .evidence = ToDigest(input_.rows.RowDigest(match.id))};
    }

    // A row that cannot be read any more compares as empty; Compare, which reads every row, reports
    // the damage.
    std::string TextOf(int64_t i) const {
      const auto row = input_.rows.Get(i);
      return row.ok() ? prefix_.Strip(InputText(*row)) : "";
    }

    RowChange& ChangeOf(int64_t i) {
      RowChange& change = changes_[i];
      change.row = i;
      return change;
    }

    const StageInput& input_;
    const SharedPrefix& prefix_;
    const bool drop_;
    SimilarityIndex index_;
    UnionFind clusters_;
    std::vector<int64_t> kept_;
    std::map<int64_t, RowChange> changes_;
  };
};

}  // namespace

std::unique_ptr<Stage> NewNearDuplicatesStage() { return std::make_unique<NearDuplicatesStage>(); }

}  // namespace crossover::curation
