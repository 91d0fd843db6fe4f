#include "services/shadow_router/domain/flusher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/domain/mirror_fixture.h"

namespace crossover::router {
namespace {

using ::testing::ElementsAre;

class FlusherTest : public MirrorTest {
 protected:
  FlusherTest() {
    EXPECT_OK(store_.CreateRoute({.name = "projects/default/routes/r"}, "", clock_.Now()));
    Experiment experiment{.name = kExperiment, .route = "projects/default/routes/r"};
    EXPECT_OK(store_.CreateExperiment(experiment, "", clock_.Now()));
    OpenJournal();
  }
  void OpenJournal(int64_t max_bytes = 1 << 20) {
    flusher_.reset();
    journal_.reset();
    auto journal = Journal::Open((folder_ / "journal").string(), max_bytes);
    ASSERT_OK(journal);
    journal_ = *std::move(journal);
    flusher_ = std::make_unique<Flusher>(books_, store_, *journal_, logger_);
  }

  testing::TempDir folder_;
  FakeRouterStore store_;
  FakeLogger logger_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Flusher> flusher_;
};

TEST_F(FlusherTest, WhatTheDatabaseCannotTakeWaitsInTheJournalAndComesOnceItIsBack) {
  Start();
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_THAT(flusher_->FlushOnce(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(
      flusher_->Record({.id = "f1", .inference_id = "req1", .name = "label", .value = "\"a\""}));
  EXPECT_GT(journal_->bytes(), 0);
  OpenJournal();  // The process died and came back.
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_EQ(journal_->bytes(), 0);
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.paired, 1);
  ASSERT_OK_AND_ASSIGN(const auto pairs, store_.ListPairs({.experiment = kExperiment}, {}));
  EXPECT_EQ(pairs.items.size(), 1);
  ASSERT_OK_AND_ASSIGN(const auto feedback, store_.ListFeedback("req1", {}));
  EXPECT_EQ(feedback.items.size(), 1);
}

TEST_F(FlusherTest, ATornLastRecordIsDroppedAndTheOnesBeforeItCount) {
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_OK(flusher_->Record({.id = "f1", .inference_id = "x", .name = "n", .value = "1"}));
  EXPECT_OK(flusher_->Record({.id = "f2", .inference_id = "x", .name = "n", .value = "2"}));
  const std::string path = (folder_ / "journal").string();
  flusher_.reset();
  journal_.reset();
  std::string bytes = testing::ReadFile(path);
  bytes.resize(bytes.size() - 5);
  testing::WriteFile(path, bytes);
  OpenJournal();
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  ASSERT_OK_AND_ASSIGN(const auto feedback, store_.ListFeedback("x", {}));
  ASSERT_EQ(feedback.items.size(), 1);
  EXPECT_EQ(feedback.items[0].id, "f1");
}

TEST_F(FlusherTest, OneItemThatTheStoreRefusesTakesNothingElseWithIt) {
  Start();
  std::map<std::string, int64_t> counted;
  flusher_->SetObserver(
      [&](std::string_view kind, int64_t count) { counted[std::string(kind)] += count; });
  for (int i = 0; i < 3; ++i) mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  books_.Served({kExperiment, 1, 500}, true, {});
  store_.Refuse("req2");
  EXPECT_OK(flusher_->FlushOnce());
  ASSERT_OK_AND_ASSIGN(const auto pairs, store_.ListPairs({.experiment = kExperiment}, {}));
  EXPECT_EQ(pairs.items.size(), 2);
  EXPECT_EQ(store_.SumArms(kExperiment, 1)->at(500).candidate_requests, 1);
  EXPECT_THAT(counted, ElementsAre(::testing::Pair("pair", 1)));
  // The same row again, with another pair in it: the rejected one stays booked as failed.
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_OK(flusher_->FlushOnce());
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.paired, 3);
  EXPECT_EQ(sum.failed.at("rejected"), 1);
  EXPECT_TRUE(sum.AddsUp());
}

TEST_F(FlusherTest, APoisonedRecordIsSetAsideAndWhatComesAfterItIsStored) {
  store_.Fail(absl::UnavailableError("down"));
  for (const char* id : {"f1", "f2", "f3"})
    EXPECT_OK(flusher_->Record({.id = id, .inference_id = "x", .name = "n", .value = "1"}));
  const std::string path = (folder_ / "journal").string();
  flusher_.reset();
  journal_.reset();
  std::string bytes = testing::ReadFile(path);
  bytes[20] ^= 1;  // Inside the first record.
  testing::WriteFile(path, bytes);
  OpenJournal();
  store_.Fail(absl::OkStatus());
  store_.Refuse("f2");
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_EQ(journal_->bytes(), 0);
  ASSERT_OK_AND_ASSIGN(const auto feedback, store_.ListFeedback("x", {}));
  ASSERT_EQ(feedback.items.size(), 1);
  EXPECT_EQ(feedback.items[0].id, "f3");
  const std::string kept = testing::ReadFile(journal_->rejects_path());
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), 2);
  EXPECT_THAT(kept, ::testing::HasSubstr("f2"));
  EXPECT_EQ(logger_.Events("router_journal_record_rejected").size(), 2);
}

// /dev/full answers every write with "no space left on device".
TEST_F(FlusherTest, AFullDiskIsToldWithWhatToDoAndNothingIsLost) {
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_OK(flusher_->Record({.id = "f1", .inference_id = "x", .name = "n", .value = "1"}));
  store_.Fail(absl::OkStatus());
  store_.Refuse("f1");
  std::filesystem::create_symlink("/dev/full", journal_->rejects_path());
  const absl::Status status = flusher_->FlushOnce();
  EXPECT_TRUE(HasReason(status, "DISK_FULL")) << status;
  EXPECT_THAT(status.ToString(), ::testing::HasSubstr("free some space there"));
  EXPECT_GT(journal_->bytes(), 0);
}

TEST_F(FlusherTest, ARecordAfterATornOneIsNotSwallowedByIt) {
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_OK(flusher_->Record({.id = "f1", .inference_id = "x", .name = "n", .value = "1"}));
  const std::string path = (folder_ / "journal").string();
  flusher_.reset();
  journal_.reset();
  testing::WriteFile(path, testing::ReadFile(path) + "0123456789abcdef {\"torn");
  OpenJournal();
  EXPECT_OK(flusher_->Record({.id = "f2", .inference_id = "x", .name = "n", .value = "2"}));
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_EQ(store_.ListFeedback("x", {})->items.size(), 2);
}

TEST_F(FlusherTest, FeedbackWithANulIsRefusedAtTheDoor) {
  EXPECT_THAT(flusher_->Record({.id = "f", .inference_id = std::string("a\0b", 3), .name = "n"}),
              HasReasonThat("FEEDBACK_INVALID"));
}

TEST_F(FlusherTest, AFullJournalKeepsTheBatchInMemoryAndBlocksTheMirror) {
  OpenJournal(/*max_bytes=*/10);
  store_.Fail(absl::UnavailableError("down"));
  Start();
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_FALSE(flusher_->FlushOnce().ok());
  EXPECT_TRUE(flusher_->blocked());
  mirror_->SetBlocked(true);
  mirror_->Offer(Job());
  EXPECT_EQ(Held().dropped["breaker_open"], 1);
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_FALSE(flusher_->blocked());
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.paired, 1);
  EXPECT_TRUE(sum.AddsUp());
}

TEST_F(FlusherTest, RecordingsThatNothingCanTakeAreDroppedAndCounted) {
  OpenJournal(/*max_bytes=*/10);
  std::map<std::string, int64_t> counted;
  flusher_->SetObserver(
      [&](std::string_view kind, int64_t count) { counted[std::string(kind)] += count; });
  store_.Fail(absl::UnavailableError("down"));
  for (int i = 0; i < 3; ++i) {
    books_.Record({.id = "r", .route = "projects/default/routes/r"});
    EXPECT_FALSE(flusher_->FlushOnce().ok());
  }
  EXPECT_THAT(counted, ElementsAre(::testing::Pair("recording", 3)));
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_FALSE(flusher_->blocked());
}

TEST_F(FlusherTest, WhatACrashLeftInFlightIsBookedAsCrashed) {
  (void)books_.Sampled(kExperiment, 1);
  (void)books_.Sampled(kExperiment, 1);
  EXPECT_OK(flusher_->FlushOnce());
  Books next("i", "2", clock_);  // kill -9, and a new start.
  Flusher flusher(next, store_, *journal_, logger_);
  EXPECT_OK(flusher.FlushOnce());
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.dropped.at("crashed"), 2);
  EXPECT_EQ(sum.in_flight, 0);
  EXPECT_TRUE(sum.AddsUp());
}

TEST_F(FlusherTest, SnapshotsAddUpAtEveryMomentUnderLoad) {
  Start({.max_queue_bytes = 20'000, .workers = 3});
  absl::Notification done;
  std::thread offers([&] {
    for (int i = 0; i < 2'000; ++i) mirror_->Offer(Job());
    done.Notify();
  });
  while (!done.HasBeenNotified()) {
    const Batch batch = books_.Take();
    for (const auto& [key, counts] : batch.ledger) EXPECT_TRUE(counts.AddsUp());
  }
  offers.join();
  mirror_->WaitUntilIdle();
  EXPECT_TRUE(Held().AddsUp());
  EXPECT_EQ(Held().in_flight, 0);
}

}  // namespace
}  // namespace crossover::router
