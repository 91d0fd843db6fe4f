// Near-duplicate search, one core: documents a second from text to verified pairs.
//
//   curation [--documents N] [--words N]     generated texts, one in ten a near-duplicate of an
//   earlier one
//
// Word 5-grams, 128 permutations, 20 bands of 6, threshold .8, exact Jaccard on every candidate;
// normaliser: NFKC case fold.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "common/time/clock.h"
#include "services/data_curation/domain/similarity.h"

namespace {

std::vector<std::string> Documents(int count, int words) {
  std::mt19937_64 random(5);
  std::vector<std::string> documents;
  for (int i = 0; i < count; ++i) {
    std::string text;
    if (i % 10 == 9) {
      text = documents[random() % documents.size()] + " and one more word";
    } else {
      for (int w = 0; w < words; ++w) text += "w" + std::to_string(random() % 50000) + " ";
    }
    documents.push_back(std::move(text));
  }
  return documents;
}

}  // namespace

int main(int argc, char** argv) {
  int count = 20000;
  int words = 280;
  CLI::App app("Near-duplicate search");
  app.add_option("--documents", count);
  app.add_option("--words", words, "of each document");
  CLI11_PARSE(app, argc, argv);
  const std::vector<std::string> documents = Documents(count, words);
  size_t bytes = 0;
  for (const std::string& document : documents) bytes += document.size();

  crossover::Clock& clock = crossover::SystemClock();
  const absl::Duration started = clock.SteadyNow();
  crossover::curation::SimilarityIndex index({},
                                             [&documents](int64_t id) { return documents[id]; });
  int64_t pairs = 0;
  for (int64_t i = 0; i < count; ++i) {
    const crossover::curation::PreparedText text = index.Prepare(documents[i]);
    pairs += static_cast<int64_t>(index.Find(text).size());
    index.Keep(i, text);
  }
  const double seconds = absl::ToDoubleSeconds(clock.SteadyNow() - started);
  std::printf("curation.documents %d documents\n", count);
  std::printf("curation.pairs %ld pairs\n", static_cast<long>(pairs));
  std::printf("curation.documents_per_second %.0f documents/s\n", count / seconds);
  std::printf("curation.megabytes_per_second %.1f MB/s\n",
              static_cast<double>(bytes) / seconds / 1e6);
}
