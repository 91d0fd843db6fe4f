#include "tests/chaos/job_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string_view>
#include <utility>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::chaos {
namespace {

namespace pb = ::crossover::scheduler::v1;

// A call in the midst of kills: it waits until somebody answers.
const rpc::CallOptions kPatient{
    .timeout = absl::Seconds(60), .idempotent = true, .max_attempts = 100, .wait_for_ready = true};

// The number a message ends with: "recorded checkpoint of step 12".
int64_t LastNumber(const std::string& message) {
  return std::atoll(message.substr(message.rfind(' ') + 1).c_str());
}

void Lost(int64_t count, const std::string& what) {
  if (count == 0) return;
  TheTally().events_lost += count;
  ADD_FAILURE() << count << " lost: " << what;
}

void Doubled(int64_t count, const std::string& what) {
  if (count == 0) return;
  TheTally().events_doubled += count;
  ADD_FAILURE() << count << " doubled: " << what;
}

// Prints the tally when all tests have run.
class Printer final : public ::testing::Environment {
 public:
  void TearDown() override {
    const Tally& tally = TheTally();
    if (tally.jobs == 0) return;
    std::printf("chaos.worker_kills %ld kills\n", tally.worker_kills);
    std::printf("chaos.platform_kills %ld kills\n", tally.platform_kills);
    std::printf("chaos.postgres_kills %ld kills\n", tally.postgres_kills);
    std::printf("chaos.jobs_finished_twice %ld jobs\n", tally.jobs_finished_twice);
    std::printf("chaos.events_lost %ld events\n", tally.events_lost);
    std::printf("chaos.events_doubled %ld events\n", tally.events_doubled);
  }
};
[[maybe_unused]] const auto* const kPrinter =
    ::testing::AddGlobalTestEnvironment(new Printer);  // gtest owns it

}  // namespace

Tally& TheTally() {
  static Tally tally;
  return tally;
}

std::vector<pb::JobEvent> JobHistory::Events() {
  auto stub = pb::JobService::NewStub(scheduler_());
  pb::ListJobEventsRequest request;
  request.set_parent(job_);
  request.set_page_size(1000);
  request.set_order_by("sequence");
  std::vector<Event> out;
  for (;;) {
    const auto page = rpc::Invoke(*stub, &pb::JobService::Stub::ListJobEvents, request, kPatient);
    EXPECT_OK(page);
    if (!page.ok()) return out;
    out.insert(out.end(), page->events().begin(), page->events().end());
    if (page->next_page_token().empty()) return out;
    request.set_page_token(page->next_page_token());
  }
}

void JobHistory::Note() {
  for (const Event& event : Events()) {
    const auto [it, fresh] = noted_.emplace(event.sequence(), event.SerializeAsString());
    if (!fresh) EXPECT_EQ(it->second, event.SerializeAsString()) << "an event has changed";
  }
}

void JobHistory::ExpectOneCleanLife(int64_t steps, int losses) {
  ++TheTally().jobs;
  auto stub = pb::JobService::NewStub(scheduler_());
  pb::GetJobRequest request;
  request.set_name(job_);
  ASSERT_OK_AND_ASSIGN(const pb::Job job,
                       rpc::Invoke(*stub, &pb::JobService::Stub::GetJob, request, kPatient));
  EXPECT_EQ(job.state(), pb::Job::SUCCEEDED) << job.ShortDebugString();
  EXPECT_TRUE(job.has_finish_time());
  const std::vector<Event> events = Events();
  CheckSequence(events);
  CheckOutcome(events, job.lease_epoch(), losses);
  CheckWorkersEvents(events);
  CheckMetrics(steps);
  CheckModel(job.outputs().adapter());
}

// Sequence numbers are set under the job's row lock, from 1 and without gaps; what was read before
// a kill is still there.
void JobHistory::CheckSequence(const std::vector<Event>& events) {
  std::map<int64_t, std::string> final;
  int64_t doubled = 0;
  for (const Event& event : events)
    doubled += !final.emplace(event.sequence(), event.SerializeAsString()).second;
  Doubled(doubled, "events with one sequence number");
  if (!final.empty())
    Lost(final.rbegin()->first - static_cast<int64_t>(final.size()), "gaps in the sequence");
  const int64_t gone = std::count_if(noted_.begin(), noted_.end(), [&](const auto& noted) {
    const auto it = final.find(noted.first);
    return it == final.end() || it->second != noted.second;
  });
  Lost(gone, "events that were there before a kill");
}

// One end, one lease an epoch, a new epoch after each loss, every checkpoint once.
void JobHistory::CheckOutcome(const std::vector<Event>& events, int64_t epochs, int losses) {
  int64_t leased = 0;
  int64_t ended = 0;
  int64_t checkpoint = 0;
  for (const Event& event : events) {
    leased += event.type() == Event::LEASED;
    for (const std::string_view end : {"SUCCEEDED", "FAILED", "CANCELLED"})
      ended += event.data().find("\"to\":\"" + std::string(end) + "\"") != std::string::npos;
    if (event.type() != Event::CHECKPOINT_RECORDED) continue;
    EXPECT_GT(LastNumber(event.message()), checkpoint) << "a checkpoint was recorded twice";
    checkpoint = LastNumber(event.message());
  }
  EXPECT_EQ(ended, 1);
  TheTally().jobs_finished_twice += ended > 1;
  EXPECT_EQ(leased, epochs);
  EXPECT_GE(leased, losses + 1) << "a loss without a new lease";
}

// What a worker said is there once. A worker that takes over from a checkpoint says so, and what it
// said is stored before its own next checkpoint or its result: each epoch that got so far must have
// that event.
void JobHistory::CheckWorkersEvents(const std::vector<Event>& events) {
  std::map<std::pair<int64_t, int64_t>, int64_t> said;  // by epoch and the worker's number
  std::map<int64_t, int64_t> resume_step;               // by epoch
  std::map<int64_t, int64_t> resumed;                   // times said, by epoch
  std::set<int64_t> got_on;                             // epochs with a checkpoint or the result
  int64_t checkpoint = 0;
  for (const Event& event : events) {
    if (event.worker_seq() > 0) ++said[{event.lease_epoch(), event.worker_seq()}];
    if (event.type() == Event::LEASED) resume_step[event.lease_epoch()] = checkpoint;
    if (event.type() == Event::CHECKPOINT_RECORDED) {
      checkpoint = LastNumber(event.message());
      got_on.insert(event.lease_epoch());
    }
    if (event.worker_seq() > 0 && event.message().starts_with("resumed at step ")) {
      ++resumed[event.lease_epoch()];
      EXPECT_EQ(LastNumber(event.message()), resume_step[event.lease_epoch()]);
    }
  }
  if (!resume_step.empty()) got_on.insert(resume_step.rbegin()->first);  // the one that finished
  for (const auto& [key, times] : said)
    Doubled(times - 1, "events of one epoch and worker's number");
  for (const int64_t epoch : got_on) {
    if (resume_step[epoch] == 0) continue;
    Lost(resumed[epoch] == 0, "\"resumed at step\" of epoch " + std::to_string(epoch));
  }
  for (const auto& [epoch, times] : resumed)
    Doubled(times - 1, "\"resumed at step\" of epoch " + std::to_string(epoch));
}

void JobHistory::CheckMetrics(int64_t steps) {
  auto stub = pb::JobService::NewStub(scheduler_());
  pb::ListMetricPointsRequest request;
  request.set_parent(job_);
  request.set_page_size(1000);
  ASSERT_OK_AND_ASSIGN(
      const auto metrics,
      rpc::Invoke(*stub, &pb::JobService::Stub::ListMetricPoints, request, kPatient));
  ASSERT_EQ(metrics.next_page_token(), "") << "more metric points than this check reads";
  std::map<int64_t, int64_t> points;  // by step
  for (const auto& point : metrics.points()) ++points[point.step()];
  int64_t lost = 0;
  for (int64_t step = 1; step <= steps; ++step) lost += !points.contains(step);
  Lost(lost, "metric points");
  for (const auto& [step, times] : points)
    Doubled(times - 1, "metric points of step " + std::to_string(step));
  EXPECT_EQ(points.empty() ? 0 : points.rbegin()->first, steps);
}

void JobHistory::CheckModel(const std::string& adapter) {
  EXPECT_TRUE(adapter.starts_with("sha256:")) << adapter;
  auto stub = pb::ModelService::NewStub(scheduler_());
  pb::ListModelVersionsRequest request;
  request.set_parent(job_.substr(0, job_.find("/jobs/")) + "/models/-");
  request.set_filter("source_job = \"" + job_ + "\"");
  ASSERT_OK_AND_ASSIGN(
      const auto versions,
      rpc::Invoke(*stub, &pb::ModelService::Stub::ListModelVersions, request, kPatient));
  ASSERT_EQ(versions.model_versions_size(), 1) << "a job makes one model version";
  EXPECT_EQ(versions.model_versions(0).digest(), adapter);
}

}  // namespace crossover::chaos
