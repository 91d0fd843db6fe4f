#include "llm/train/packer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace crossover::llm {
namespace {

TrainRow Row(std::vector<int32_t> ids, int64_t context) {
  TrainRow row{.ids = std::move(ids)};
  row.token_weights.assign(row.ids.size(), 1.0f);
  std::fill(row.token_weights.begin(), row.token_weights.begin() + context, 0.0f);
  return row;
}

std::vector<const TrainRow*> Pointers(const std::vector<TrainRow>& rows) {
  std::vector<const TrainRow*> pointers;
  for (const TrainRow& row : rows) pointers.push_back(&row);
  return pointers;
}

// What the token at `token` sees, itself included.
std::vector<int32_t> Seen(const Pack& pack, int64_t token) {
  std::vector<int32_t> ids;
  for (int s = 0; s < static_cast<int>(pack.segments.size()); ++s) {
    const Segment& segment = pack.segments[s];
    if (token < segment.begin || token >= segment.end) continue;
    for (const auto& [begin, end] : AncestorRanges(pack, s))
      ids.insert(ids.end(), pack.ids.begin() + begin, pack.ids.begin() + end);
    ids.insert(ids.end(), pack.ids.begin() + segment.begin, pack.ids.begin() + token + 1);
  }
  return ids;
}

// Every trained token of every row is predicted exactly once, from exactly the tokens before it.
void ExpectFaithful(const std::vector<TrainRow>& rows, const std::vector<TrainPack>& packs) {
  std::map<int32_t, size_t> entries;
  for (const TrainPack& pack : packs) {
    for (const LossEntry& entry : pack.entries) {
      const TrainRow& row = rows[entry.row];
      const std::vector<int32_t> seen = Seen(pack.pack, entry.token);
      ASSERT_LT(seen.size(), row.ids.size());
      ASSERT_EQ(seen, std::vector<int32_t>(row.ids.begin(), row.ids.begin() + seen.size()));
      ASSERT_EQ(entry.target, row.ids[seen.size()]);
      ASSERT_EQ(entry.weight, row.weight * row.token_weights[seen.size()]);
      ASSERT_EQ(pack.pack.positions[entry.token], static_cast<int32_t>(seen.size()) - 1);
      ++entries[entry.row];
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    size_t trained = 0;
    for (size_t t = 1; t < rows[i].ids.size(); ++t) trained += rows[i].token_weights[t] != 0;
    ASSERT_EQ(entries[static_cast<int32_t>(i)], trained) << "row " << i;
  }
}

TEST(PackerTest, CommonPrefixIsComputedOnce) {
  const std::vector<TrainRow> rows = {Row({1, 2, 3, 4, 5, 6}, 4), Row({1, 2, 3, 4, 7}, 4),
                                      Row({1, 2, 3, 4, 5, 9}, 4)};
  const auto packs = PackRows(Pointers(rows), {.max_tokens = 100, .min_shared_prefix = 3});
  ASSERT_EQ(packs.size(), 1u);
  EXPECT_EQ(packs[0].pack.tokens(), 4 + 2 + 1 + 2);
  EXPECT_EQ(packs[0].pack.segments.size(), 4u);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, ShortCommonPrefixIsNotShared) {
  const std::vector<TrainRow> rows = {Row({1, 2, 3, 4}, 1), Row({1, 2, 5, 6}, 1)};
  const auto packs = PackRows(Pointers(rows), {.max_tokens = 100, .min_shared_prefix = 3});
  EXPECT_EQ(packs[0].pack.tokens(), 8);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, PrefixesNest) {
  const std::vector<TrainRow> rows = {Row({1, 2, 3, 4, 5}, 1), Row({1, 2, 3, 4, 6}, 1),
                                      Row({1, 2, 7, 8, 9}, 1), Row({1, 2, 7, 8, 10}, 1)};
  const auto packs = PackRows(Pointers(rows), {.max_tokens = 100, .min_shared_prefix = 2});
  EXPECT_EQ(packs[0].pack.tokens(), 2 + 2 + 2 + 2 + 2);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, EqualRowsAndRowsThatEndInsideAnotherKeepTheirLosses) {
  const std::vector<TrainRow> rows = {Row({1, 2, 3, 4}, 2), Row({1, 2, 3, 4}, 2), Row({1, 2, 3}, 2),
                                      Row({1, 2, 3, 4, 5}, 1)};
  const auto packs = PackRows(Pointers(rows), {.max_tokens = 100, .min_shared_prefix = 1});
  EXPECT_EQ(packs[0].pack.tokens(), 5);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, BudgetCutsAndALongRowStandsAlone) {
  std::vector<TrainRow> rows = {Row(std::vector<int32_t>(50, 9), 1), Row({1, 2, 3}, 1),
                                Row({2, 2, 3}, 1), Row({3, 2, 3}, 1)};
  const auto packs = PackRows(Pointers(rows), {.max_tokens = 6});
  ASSERT_EQ(packs.size(), 3u);
  for (const TrainPack& pack : packs)
    EXPECT_TRUE(pack.pack.tokens() <= 6 || pack.pack.segments.size() == 1);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, FewestPacksTakeRowsThatShareNothing) {
  std::vector<TrainRow> rows;
  for (const int length : {6, 3, 4, 7, 5, 5}) {
    rows.push_back(Row(std::vector<int32_t>(length, static_cast<int32_t>(rows.size())), 1));
  }
  const auto packs = PackRows(Pointers(rows), {.max_tokens = 10});
  ASSERT_EQ(packs.size(), 3u);
  for (const TrainPack& pack : packs) EXPECT_EQ(pack.pack.tokens(), 10);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, RowsOfOnePrefixStayTogether) {
  // Cut by the budget alone, the second pair would be torn apart.
  const std::vector<TrainRow> rows = {Row({1, 1, 1, 1, 2}, 1), Row({1, 1, 1, 1, 3}, 1),
                                      Row({4, 4, 4, 4, 5}, 1), Row({4, 4, 4, 4, 6}, 1)};
  const auto packs = PackRows(Pointers(rows), {.max_tokens = 11, .min_shared_prefix = 4});
  ASSERT_EQ(packs.size(), 2u);
  for (const TrainPack& pack : packs) EXPECT_EQ(pack.pack.tokens(), 6);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, SharingCanBeSwitchedOff) {
  const std::vector<TrainRow> rows = {Row({1, 2, 3, 4, 5}, 1), Row({1, 2, 3, 4, 6}, 1)};
  const auto packs =
      PackRows(Pointers(rows), {.max_tokens = 100, .share_prefix = false, .min_shared_prefix = 1});
  EXPECT_EQ(packs[0].pack.tokens(), 10);
  ExpectFaithful(rows, packs);
}

TEST(PackerTest, RandomRowsStayFaithful) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<TrainRow> rows;
    for (int i = 0; i < 12; ++i) {
      std::vector<int32_t> ids(2 + random() % 14);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % 2);
      rows.push_back(Row(ids, 1 + random() % (ids.size() - 1)));
      rows.back().weight = 0.5f * static_cast<float>(1 + random() % 3);
    }
    ExpectFaithful(rows, PackRows(Pointers(rows),
                                  {.max_tokens = 1 + static_cast<int64_t>(random() % 90),
                                   .min_shared_prefix = 1 + static_cast<int64_t>(random() % 4)}));
  }
}

}  // namespace
}  // namespace crossover::llm
