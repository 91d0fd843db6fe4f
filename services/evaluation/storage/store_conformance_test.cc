// One suite of promises, on the fake and on PostgreSQL.
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "services/evaluation/domain/fake_store.h"
#include "services/evaluation/domain/test_data.h"
#include "services/evaluation/storage/pg_store.h"

namespace crossover::evaluation {
namespace {

struct Home {
  virtual ~Home() = default;
  virtual Store& store() = 0;
};
struct FakeHome final : Home {
  FakeStore fake{SystemClock()};
  Store& store() override { return fake; }
};
struct PgHome final : Home {
  testing::PgDatabase database{{EvaluationMigrations()}};
  std::unique_ptr<pg::Pool> pool = database.NewPool("evaluation");
  std::unique_ptr<Store> pg = NewPgStore(*pool);
  Store& store() override { return *pg; }
};

class StoreConformance : public ::testing::TestWithParam<bool> {
 protected:
  StoreConformance() {
    if (GetParam()) {
      home_ = std::make_unique<PgHome>();
    } else {
      home_ = std::make_unique<FakeHome>();
    }
  }
  Store& store() { return home_->store(); }

  Document RunDocument(const std::string& id, const std::string& state = "QUEUED") {
    return {.kind = kRunKind,
            .name = "projects/p/runs/" + id,
            .project = "projects/p",
            .task = "projects/p/tasks/t",
            .state = state,
            .body = "{\"id\":\"" + id + "\"}"};
  }
  Answer MakeAnswer(const std::string& row, const std::string& system, int repeat) {
    return {.suite_digest = "suite",
            .row_digest = row,
            .system_digest = system,
            .repeat = repeat,
            .run = "r",
            .output = "x",
            .usage = {.input = 3, .output = 2},
            .latency_seconds = 0.25,
            .time = absl::FromUnixMicros(1'800'000'000'123'456)};
  }
  std::vector<SuiteRow> PutRows(int count) {
    std::vector<SuiteRow> rows;
    for (int i = 0; i < count; ++i)
      rows.push_back({.row_digest = "row" + std::to_string(i),
                      .messages = "[]",
                      .expected = "e\"ü",
                      .attributes = {{"a", "b"}}});
    EXPECT_OK(store().PutSuiteRows("suite", rows));
    return rows;
  }

  std::unique_ptr<Home> home_;
};

TEST_P(StoreConformance, DocumentIsReadAsItWasWritten) {
  auto created = store().Create(RunDocument("1"), {});
  ASSERT_OK(created);
  EXPECT_EQ(created->version, 1);
  auto read = store().Get(kRunKind, "projects/p/runs/1");
  ASSERT_OK(read);
  EXPECT_EQ(nlohmann::json::parse(read->body), nlohmann::json::parse("{\"id\":\"1\"}"));
  EXPECT_EQ(read->task, "projects/p/tasks/t");
  EXPECT_EQ(read->sequence, created->sequence);
  EXPECT_THAT(store().Get(kRunKind, "projects/p/runs/2"), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().Get(kLadderKind, "projects/p/runs/1"), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(StoreConformance, SecondDocumentOfANameIsRefused) {
  ASSERT_OK(store().Create(RunDocument("1"), {}));
  EXPECT_THAT(store().Create(RunDocument("1"), {}), HasReasonThat("RESOURCE_EXISTS"));
}

TEST_P(StoreConformance, RepeatedRequestGivesTheStoredDocument) {
  ASSERT_OK(store().Create(RunDocument("1"), {"request", "digest"}));
  auto again = store().Create(RunDocument("2"), {"request", "digest"});
  ASSERT_OK(again);
  EXPECT_EQ(again->name, "projects/p/runs/1");
  const absl::Status reused = store().Create(RunDocument("3"), {"request", "other"}).status();
  EXPECT_THAT(reused, HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(reused.ToString(), ::testing::HasSubstr("use a new one for this request"));
}

TEST_P(StoreConformance, UpdateNeedsTheCurrentVersion) {
  Document document = *store().Create(RunDocument("1"), {});
  document.state = "RUNNING";
  auto updated = store().Update(document);
  ASSERT_OK(updated);
  EXPECT_EQ(updated->version, 2);
  EXPECT_THAT(store().Update(document), HasReasonThat("ETAG_MISMATCH"));
  EXPECT_EQ(store().Get(kRunKind, document.name)->state, "RUNNING");
  Document missing = RunDocument("9");
  missing.version = 1;
  EXPECT_THAT(store().Update(missing), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(StoreConformance, ListsNewestFirstByWhatIsAsked) {
  for (const char* id : {"1", "2", "3"})
    ASSERT_OK(store().Create(RunDocument(id, id[0] == '2' ? "PAUSED" : "QUEUED"), {}));
  auto all = store().List({.kind = kRunKind, .project = "projects/p"});
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ((*all)[0].name, "projects/p/runs/3");
  EXPECT_EQ(store().List({.kind = kRunKind, .project = "projects/p", .state = "PAUSED"})->size(),
            1u);
  EXPECT_EQ(store().List({.kind = kRunKind, .task = "projects/p/tasks/t", .limit = 2})->size(), 2u);
  EXPECT_EQ(store().List({.kind = kRunKind, .before = (*all)[1].sequence})->size(), 1u);
  EXPECT_TRUE(store().List({.kind = kLadderKind})->empty());
  EXPECT_TRUE(store().List({.kind = kRunKind, .project = "projects/q"})->empty());
}

TEST_P(StoreConformance, OldestRunIsClaimedByOneUntilReleased) {
  ASSERT_OK(store().Create(RunDocument("1", "PAUSED"), {}));
  ASSERT_OK(store().Create(RunDocument("2"), {}));
  ASSERT_OK(store().Create(RunDocument("3"), {}));
  EXPECT_EQ((*store().ClaimRun("a", absl::Seconds(60)))->name, "projects/p/runs/2");
  EXPECT_EQ((*store().ClaimRun("b", absl::Seconds(60)))->name, "projects/p/runs/3");
  EXPECT_FALSE(store().ClaimRun("c", absl::Seconds(60))->has_value());
  EXPECT_OK(store().RenewClaim("projects/p/runs/2", "a", absl::Seconds(60)));
  EXPECT_THAT(store().RenewClaim("projects/p/runs/2", "b", absl::Seconds(60)),
              HasReasonThat("LEASE_LOST"));
  EXPECT_OK(store().ReleaseClaim("projects/p/runs/2", "b"));
  EXPECT_FALSE(store().ClaimRun("c", absl::Seconds(60))->has_value());
  EXPECT_OK(store().ReleaseClaim("projects/p/runs/2", "a"));
  EXPECT_EQ((*store().ClaimRun("c", absl::Seconds(60)))->name, "projects/p/runs/2");
}

TEST_P(StoreConformance, ExpiredClaimIsAnyonesAgain) {
  ASSERT_OK(store().Create(RunDocument("1", "RUNNING"), {}));
  ASSERT_TRUE(store().ClaimRun("dead", absl::Seconds(-1))->has_value());
  EXPECT_TRUE(store().ClaimRun("alive", absl::Seconds(60))->has_value());
}

TEST_P(StoreConformance, ConcurrentClaimsGiveEachRunToOne) {
  constexpr int kRuns = 12;
  for (int i = 0; i < kRuns; ++i) ASSERT_OK(store().Create(RunDocument(std::to_string(i)), {}));
  std::vector<std::string> claimed[3];
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRuns; ++i) {
        auto run = store().ClaimRun("w" + std::to_string(t), absl::Seconds(60));
        if (run.ok() && *run) claimed[t].push_back((*run)->name);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> distinct;
  size_t total = 0;
  for (const auto& list : claimed) {
    distinct.insert(list.begin(), list.end());
    total += list.size();
  }
  EXPECT_EQ(distinct.size(), static_cast<size_t>(kRuns));
  EXPECT_EQ(total, static_cast<size_t>(kRuns));
}

TEST_P(StoreConformance, SuiteRowsKeepTheirOrderAndNeverChange) {
  std::vector<SuiteRow> rows = PutRows(3);
  std::vector<SuiteRow> other = rows;
  other[0].expected = "changed";
  ASSERT_OK(store().PutSuiteRows("suite", other));
  EXPECT_EQ(*store().ListSuiteRows("suite"), rows);
  EXPECT_TRUE(store().ListSuiteRows("none")->empty());
}

TEST_P(StoreConformance, FirstAnswerStays) {
  PutRows(2);
  Answer answer = MakeAnswer("row0", "s", 0);
  answer.cost_known = true;
  answer.cost = 0.125;
  answer.output = "says \"ü\"\n";
  EXPECT_THAT(store().PutAnswer(answer), IsOkAndHolds(true));
  Answer second = answer;
  second.output = "another";
  EXPECT_THAT(store().PutAnswer(second), IsOkAndHolds(false));
  auto read = store().ListAnswers("suite", {"s"}, 1, std::nullopt, 0);
  ASSERT_OK(read);
  ASSERT_EQ(read->size(), 1u);
  EXPECT_EQ((*read)[0].output, answer.output);
  EXPECT_EQ((*read)[0].cost, 0.125);
  EXPECT_EQ((*read)[0].usage, answer.usage);
  EXPECT_EQ((*read)[0].time, answer.time);
  EXPECT_EQ((*read)[0].latency_seconds, 0.25);
}

TEST_P(StoreConformance, AnErrorIsReplacedByAnotherRunAlone) {
  PutRows(1);
  Answer failed = MakeAnswer("row0", "s", 0);
  failed.run = "first";
  failed.error = "CONTEXT_LENGTH_EXCEEDED";
  EXPECT_THAT(store().PutAnswer(failed), IsOkAndHolds(true));
  Answer again = MakeAnswer("row0", "s", 0);
  again.run = "first";
  EXPECT_THAT(store().PutAnswer(again), IsOkAndHolds(false));
  again.run = "second";
  EXPECT_THAT(store().PutAnswer(again), IsOkAndHolds(true));
  EXPECT_EQ((*store().ListAnswers("suite", {"s"}, 1, std::nullopt, 0))[0].error, "");
  again.run = "third";
  EXPECT_THAT(store().PutAnswer(again), IsOkAndHolds(false));
}

TEST_P(StoreConformance, AnswersPageByKeyAndKnowTheirSystems) {
  PutRows(3);
  for (const char* row : {"row2", "row0", "row1"}) {
    for (const char* system : {"a", "b"}) {
      for (int repeat : {1, 0}) ASSERT_OK(store().PutAnswer(MakeAnswer(row, system, repeat)));
    }
  }
  EXPECT_EQ(store().ListAnswers("suite", {"a", "b"}, 2, std::nullopt, 0)->size(), 12u);
  EXPECT_EQ(store().ListAnswers("suite", {"a"}, 1, std::nullopt, 0)->size(), 3u);
  auto page = store().ListAnswers("suite", {"a", "b"}, 2, std::nullopt, 5);
  ASSERT_OK(page);
  const Answer& last = page->back();
  EXPECT_EQ(last.row_digest, "row1");
  auto rest = store().ListAnswers("suite", {"a", "b"}, 2,
                                  AnswerKey{last.row_digest, last.system_digest, last.repeat}, 100);
  EXPECT_EQ(rest->size(), 7u);
  EXPECT_THAT(store().CountSystemsAsked("suite"), IsOkAndHolds(2));
}

TEST_P(StoreConformance, JudgementIsTheAnnotatorsLatestWord) {
  Judgement judgement{.row_digest = "row0",
                      .annotator = "ana",
                      .verdict = "WRONG",
                      .comment = "no",
                      .time = absl::FromUnixSeconds(1)};
  ASSERT_OK(store().PutJudgement("suite", judgement));
  judgement.verdict = "CORRECT";
  ASSERT_OK(store().PutJudgement("suite", judgement));
  judgement.annotator = "bob";
  ASSERT_OK(store().PutJudgement("suite", judgement));
  auto list = store().ListJudgements("suite");
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ((*list)[0].verdict, "CORRECT");
}

TEST_P(StoreConformance, EventsAreNumberedWithoutGaps) {
  Document document = *store().Create(RunDocument("1"), {});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i)
        EXPECT_OK(store().AppendEvent(
            document.name, {.time = absl::FromUnixSeconds(5), .type = "progress", .message = "m"}));
    });
  }
  for (std::thread& thread : threads) thread.join();
  auto events = store().ListEvents(document.name, 0, 100);
  ASSERT_OK(events);
  ASSERT_EQ(events->size(), 15u);
  for (size_t i = 0; i < events->size(); ++i)
    EXPECT_EQ((*events)[i].sequence, static_cast<int64_t>(i + 1));
  EXPECT_EQ(store().ListEvents(document.name, 13, 100)->size(), 2u);
  EXPECT_EQ(store().ListEvents(document.name, 0, 4)->size(), 4u);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreConformance, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Postgres" : "Fake"; });

TEST(PgStoreTest, KeepsAnswersThatAreNotText) {
  PgHome home;
  ASSERT_OK(home.store().PutSuiteRows("suite", {{.row_digest = "row0", .messages = "[]"}}));
  Answer answer{.suite_digest = "suite",
                .row_digest = "row0",
                .system_digest = "s",
                .output = std::string("a\0b\xff", 4)};
  EXPECT_THAT(home.store().PutAnswer(answer), IsOkAndHolds(true));
  EXPECT_EQ((*home.store().ListAnswers("suite", {"s"}, 1, std::nullopt, 0))[0].output,
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
}

}  // namespace
}  // namespace crossover::evaluation
