// tune and jobs against a fake scheduler.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "cli/output/error.h"
#include "cli/testing/cli_fixture.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace curation = ::crossover::curation::v1;
namespace scheduler = ::crossover::scheduler::v1;
using scheduler::Job;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kJob[] = "projects/default/jobs/06bq3f";
constexpr char kVersion[] = "projects/default/datasets/rows/versions/sha256:3f2a000000000000";

Job MakeJob(Job::State state) {
  Job job;
  job.set_name(kJob);
  job.set_kind(Job::SFT);
  job.set_state(state);
  job.set_base_model("smollm2-135m-instruct");
  job.set_dataset_version(kVersion);
  job.mutable_create_time()->set_seconds(1'800'000'000 - 120);
  return job;
}

Job AtStep(int64_t step) {
  Job job = MakeJob(Job::RUNNING);
  job.mutable_progress()->set_step(step);
  job.mutable_progress()->set_steps(250);
  job.mutable_progress()->set_train_loss(0.4123);
  job.mutable_progress()->set_tokens_per_second(512.4);
  job.mutable_progress()->mutable_eta()->set_seconds(320);
  return job;
}

class FakeDatasets final : public curation::DatasetService::Service {
  grpc::Status ListDatasetVersions(grpc::ServerContext*,
                                   const curation::ListDatasetVersionsRequest* request,
                                   curation::ListDatasetVersionsResponse* response) override {
    if (request->parent() == "projects/default/datasets/rows") {
      response->add_dataset_versions()->set_name(kVersion);
    }
    return grpc::Status::OK;
  }
};

// Answers with what a test put into it; remembers what it was asked.
class FakeJobs final : public scheduler::JobService::Service {
 public:
  scheduler::CreateJobRequest created;
  std::vector<scheduler::WatchJobResponse> stream;
  std::vector<std::string> tokens;  // resume tokens of the watches
  size_t break_after = 0;           // the first watch ends with UNAVAILABLE after that many items
  bool stay_open = false;           // the watch waits for its cancellation
  std::atomic<bool> watching = false;
  grpc::Status refuse = grpc::Status::OK;
  std::string filter;
  int pages = 0;
  std::map<std::string, Job> by_filter;  // not empty: what ListJobs answers, by its filter

 private:
  grpc::Status CreateJob(grpc::ServerContext*, const scheduler::CreateJobRequest* request,
                         Job* response) override {
    if (!refuse.ok()) return refuse;
    created = *request;
    *response = MakeJob(Job::QUEUED);
    return grpc::Status::OK;
  }
  grpc::Status EstimateJob(grpc::ServerContext*, const scheduler::EstimateJobRequest* request,
                           scheduler::EstimateJobResponse* response) override {
    if (request->job().base_model() == "huge") {
      auto* violation = response->add_violations();
      violation->set_field("job.base_model");
      violation->set_description("is not a base model here");
      violation->set_reason("BASE_MODEL_UNKNOWN");
      return grpc::Status::OK;
    }
    response->mutable_estimate()->mutable_seconds()->set_seconds(90);
    response->mutable_estimate()->set_tokens(350'749);
    response->add_warnings("rests on 1,200 tokens/s");
    return grpc::Status::OK;
  }
  grpc::Status GetJob(grpc::ServerContext*, const scheduler::GetJobRequest* request,
                      Job* response) override {
    if (request->name() != kJob)
      return testing::Refuse(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                             "there is no " + request->name());
    *response = AtStep(115);
    response->set_log_tail("loading rows\nstep 115\n");
    return grpc::Status::OK;
  }
  grpc::Status CompareJobs(grpc::ServerContext*, const scheduler::CompareJobsRequest* request,
                           scheduler::CompareJobsResponse* response) override {
    for (const std::string& name : request->names()) {
      auto* column = response->add_columns();
      column->set_name(name);
      column->mutable_last()->set_step(115);
      column->mutable_last()->set_train_loss(0.5);
    }
    response->mutable_columns(1)->add_spikes()->set_step(40);
    auto* difference = response->add_differences();
    difference->set_field("training.adapter.r");
    difference->add_values("16");
    difference->add_values("32");
    for (int step = 1; step <= 100; ++step) {
      auto* row = response->add_losses();
      row->set_step(step);
      for (const double loss : {0.5, 0.25}) {
        row->add_train_losses(loss);
        row->add_differences(loss - 0.5);
      }
    }
    return grpc::Status::OK;
  }
  grpc::Status ListJobs(grpc::ServerContext*, const scheduler::ListJobsRequest* request,
                        scheduler::ListJobsResponse* response) override {
    filter = request->filter();
    ++pages;
    if (!by_filter.empty()) {
      if (by_filter.contains(filter)) *response->add_jobs() = by_filter.at(filter);
      return grpc::Status::OK;
    }
    *response->add_jobs() = request->page_token().empty() ? AtStep(115) : MakeJob(Job::QUEUED);
    if (request->page_token().empty()) response->set_next_page_token("2");
    return grpc::Status::OK;
  }
  grpc::Status ListWorkers(grpc::ServerContext*, const scheduler::ListWorkersRequest*,
                           scheduler::ListWorkersResponse* response) override {
    response->add_workers()->set_name("workers/local-0");
    return grpc::Status::OK;
  }
  grpc::Status CancelJob(grpc::ServerContext*, const scheduler::CancelJobRequest*,
                         Job* response) override {
    *response = MakeJob(Job::CANCELLING);
    return grpc::Status::OK;
  }
  grpc::Status WatchJob(grpc::ServerContext* context, const scheduler::WatchJobRequest* request,
                        grpc::ServerWriter<scheduler::WatchJobResponse>* writer) override {
    tokens.push_back(request->resume_token());
    const size_t begin = request->resume_token().empty() ? 0 : std::stoul(request->resume_token());
    for (size_t i = begin; i < stream.size(); ++i) {
      if (tokens.size() == 1 && break_after > 0 && i == break_after)
        return {grpc::StatusCode::UNAVAILABLE, "gone"};
      scheduler::WatchJobResponse item = stream[i];
      item.set_resume_token(std::to_string(i + 1));
      writer->Write(item);
    }
    watching = true;
    while (stay_open && !context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  }
};

class JobsTest : public testing::CliTest {
 protected:
  JobsTest() { Serve({&jobs_, &datasets_}); }

  void Snapshot(const Job& job) { *jobs_.stream.emplace_back().mutable_snapshot() = job; }
  void Event(scheduler::JobEvent::Type type, scheduler::JobEvent::Level level,
             const std::string& message) {
    scheduler::JobEvent& event = *jobs_.stream.emplace_back().mutable_event();
    event.set_type(type);
    event.set_level(level);
    event.set_message(message);
    event.mutable_time()->set_seconds(1'800'000'000);
  }
  void Done() {
    Job job = MakeJob(Job::SUCCEEDED);
    job.mutable_outputs()->set_adapter("sha256:48c2");
    job.mutable_outputs()->set_model_alias("ft:smollm2:default:support:06bq3f");
    job.mutable_actual()->mutable_seconds()->set_seconds(600);
    Snapshot(job);
  }

  FakeJobs jobs_;
  FakeDatasets datasets_;
};

TEST_F(JobsTest, AnEstimateMakesNoJob) {
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--estimate"}), kExitOk) << err();
  EXPECT_EQ(out(),
            "should take  1 min 30 s, 350,749 tokens\n"
            "note         rests on 1,200 tokens/s\n");
  EXPECT_FALSE(jobs_.created.has_job());
}

TEST_F(JobsTest, AnEstimateOfABadJobIsTheErrorThatMakingItWouldBe) {
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "huge", "--validate-only"}), kExitFailure);
  EXPECT_EQ(err(),
            "error: the job would be refused\n"
            "  base_model  is not a base model here\n"
            "  reason      BASE_MODEL_UNKNOWN\n"
            "  try         `crossover models` lists the base models; `crossover models import` "
            "takes another\n");
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "huge", "--estimate", "--json"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("\"reason\":\"BASE_MODEL_UNKNOWN\""));
  EXPECT_THAT(err(), HasSubstr("\"description\":\"is not a base model here\""));
  EXPECT_FALSE(jobs_.created.has_job());
}

TEST_F(JobsTest, ARequestIdThatIsNoUuidIsNamedBeforeAnythingIsAsked) {
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--request-id", "abc"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("request_id is 'abc'; must be a UUID such as 01890a5d-"));
  EXPECT_EQ(jobs_.created.parent(), "");
}

TEST_F(JobsTest, KindsAndSweepsBecomeJobs) {
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--kind", "preference", "--set",
                       "preference_beta=0.2", "--detach"}),
            kExitOk)
      << err();
  EXPECT_EQ(jobs_.created.job().kind(), Job::PREFERENCE);
  EXPECT_EQ(jobs_.created.job().spec().training().preference_beta(), 0.2);
  EXPECT_EQ(
      Crossover({"tune", "rows", "--base", "b", "--sweep", "learning_rate=1e-4,0.001", "--sweep",
                 "schedule=LINEAR", "--set", "epochs=2", "--suffix", "grid", "--detach"}),
      kExitOk)
      << err();
  const auto& sweep = jobs_.created.job().spec().sweep();
  EXPECT_EQ(jobs_.created.job().kind(), Job::SWEEP);
  EXPECT_EQ(sweep.objective(), Job::SFT);
  EXPECT_EQ(sweep.base().epochs(), 2);
  EXPECT_EQ(sweep.base().suffix(), "grid");
  ASSERT_EQ(sweep.axes_size(), 2);
  EXPECT_EQ(sweep.axes(0).values(0), "1e-4");
  EXPECT_EQ(sweep.axes(1).values(0), "\"LINEAR\"");
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--sweep", "epochs"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("FIELD=VALUE,VALUE"));
}

TEST_F(JobsTest, SeveralWorkersAreAskedForByNumber) {
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--detach"}), kExitOk) << err();
  EXPECT_FALSE(jobs_.created.job().has_requirements());
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--workers", "2", "--detach"}), kExitOk)
      << err();
  EXPECT_EQ(jobs_.created.job().requirements().gang_size(), 2);
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--workers", "0"}), kExitUsage);
}

TEST_F(JobsTest, TuneCreatesTheJobFollowsItAndSaysWhatItMade) {
  Snapshot(MakeJob(Job::QUEUED));
  Snapshot(AtStep(115));
  Event(scheduler::JobEvent::CHECKPOINT_RECORDED, scheduler::JobEvent::INFO,
        "checkpoint at step 115");
  Done();
  EXPECT_EQ(Crossover({"tune", "rows@3f2a", "--base", "smollm2-135m-instruct", "--suffix",
                       "support", "--set", "adapter.r=32"}),
            kExitOk)
      << err();
  EXPECT_EQ(jobs_.created.job().dataset_version(), kVersion);
  EXPECT_EQ(jobs_.created.job().spec().training().adapter().r(), 32);
  EXPECT_EQ(jobs_.created.job().spec().training().suffix(), "support");
  EXPECT_FALSE(jobs_.created.request_id().empty());
  EXPECT_THAT(err(), HasSubstr("job 06bq3f; Ctrl-C detaches"));
  EXPECT_THAT(err(), HasSubstr("08:00:00  checkpoint at step 115"));
  EXPECT_EQ(
      out(),
      "job      projects/default/jobs/06bq3f\n"
      "kind     sft\n"
      "state    succeeded\n"
      "base     smollm2-135m-instruct\n"
      "data     projects/default/datasets/rows/versions/sha256:3f2a000000000000\n"
      "created  2 min ago\n"
      "took     10 min 00 s\n"
      "adapter  sha256:48c2\n"
      "model    ft:smollm2:default:support:06bq3f\n"
      "\nnext: crossover evaluate SUITE --system adapter=ft:smollm2:default:support:06bq3f\n");
}

TEST_F(JobsTest, WatchingGoesOnAfterTheServerWasAway) {
  Snapshot(MakeJob(Job::QUEUED));
  Snapshot(AtStep(10));
  Done();
  jobs_.break_after = 2;
  EXPECT_EQ(Crossover({"jobs", "watch", "06bq3f"}), kExitOk) << err();
  EXPECT_THAT(jobs_.tokens, ::testing::ElementsAre("", "2"));
}

TEST_F(JobsTest, AFailedJobEndsInExitCodeOneWithItsReason) {
  Job job = MakeJob(Job::FAILED);
  job.mutable_error()->set_reason("LOSS_NOT_FINITE");
  job.mutable_error()->set_message("the loss became NaN at step 7");
  Snapshot(job);
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b"}), kExitFailure);
  EXPECT_THAT(
      err(),
      HasSubstr(
          "error: job 06bq3f failed: the loss became NaN at step 7\n  reason  LOSS_NOT_FINITE\n"));
}

TEST_F(JobsTest, CtrlCDetachesAndSaysHowToComeBack) {
  Snapshot(AtStep(10));
  jobs_.stay_open = true;
  std::thread person([this] {
    while (!jobs_.watching) std::this_thread::yield();
    interrupts_.Press();
  });
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b"}), kExitOk);
  person.join();
  EXPECT_THAT(err(),
              HasSubstr("Detached; the job goes on.\n  come back   crossover jobs watch 06bq3f\n"));
}

TEST_F(JobsTest, JsonWatchesPrintOneObjectALineAndNoTable) {
  Snapshot(AtStep(10));
  Done();
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--json"}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("\"train_loss\":0.4123"));
  const std::string lines = out();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
  EXPECT_THAT(out(), Not(HasSubstr("next:")));
}

TEST_F(JobsTest, ListFollowsPagesAndFiltersByState) {
  EXPECT_EQ(Crossover({"jobs", "list", "--state", "running", "--filter", "kind = SFT"}), kExitOk)
      << err();
  EXPECT_EQ(jobs_.filter, "kind = SFT AND state = RUNNING");
  EXPECT_EQ(jobs_.pages, 2);
  EXPECT_EQ(out(),
            "JOB     KIND  STATE       STEP         ETA  BASE                   DATA               "
            "  CREATED    WHY\n"
            "06bq3f  sft   running  115/250  5 min 20 s  smollm2-135m-instruct  "
            "sha256:3f2a00000000  2 min ago\n"
            "06bq3f  sft   queued                        smollm2-135m-instruct  "
            "sha256:3f2a00000000  2 min ago\n");
}

TEST_F(JobsTest, StatusShowsEveryJobThatHasNotEnded) {
  jobs_.by_filter["state = RUNNING"] = AtStep(115);
  Job blocked = MakeJob(Job::BLOCKED);
  blocked.set_name("projects/default/jobs/06br");
  blocked.set_state_reason("waits for the jobs it depends on");
  jobs_.by_filter["state = BLOCKED"] = blocked;
  EXPECT_EQ(Crossover({"status"}), kExitFailure) << "most services are not there";
  EXPECT_THAT(out(), HasSubstr("jobs: 1 running, 1 blocked; 1 workers\n"));
  EXPECT_THAT(out(), HasSubstr("06br    blocked: waits for the jobs it depends on\n"));
}

TEST_F(JobsTest, ShowDrawsProgress) {
  EXPECT_EQ(Crossover({"jobs", "show", "ftjob-06bq3f"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("progress  [###########             ] 46.0 %  step 115/250  loss "
                               "0.412  512 tokens/s  eta 5 min 20 s\n"));
}

TEST_F(JobsTest, CancelSaysWhereTheJobIs) {
  EXPECT_EQ(Crossover({"jobs", "cancel", "06bq3f"}), kExitOk);
  EXPECT_EQ(out(), "job 06bq3f is cancelling\n");
}

TEST_F(JobsTest, AnErrorOfTheServerShowsReasonFieldsAndWhatToDo) {
  jobs_.refuse =
      rpc::ToGrpc(Error(absl::StatusCode::kInvalidArgument, "base model 'b' is unknown",
                        ErrorDetail{.reason = "BASE_MODEL_UNKNOWN",
                                    .metadata = {{"known", "smollm2-135m-instruct"}},
                                    .violations = {{"job.base_model", "no model is called 'b'"}}}));
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b"}), kExitFailure);
  EXPECT_EQ(err(),
            "error: base model 'b' is unknown\n"
            "  base_model  no model is called 'b'\n"
            "  reason      BASE_MODEL_UNKNOWN\n"
            "  known       smollm2-135m-instruct\n"
            "  try         `crossover models` lists the base models; `crossover models import` "
            "takes another\n");
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b", "--json"}), kExitFailure);
  EXPECT_EQ(err(),
            "{\"error\":{\"code\":\"INVALID_ARGUMENT\",\"reason\":\"BASE_MODEL_UNKNOWN\","
            "\"message\":\"base model 'b' is unknown\","
            "\"metadata\":{\"known\":\"smollm2-135m-instruct\"},\"violations\":[{\"field\":\"job."
            "base_model\",\"description\":"
            "\"no model is called 'b'\"}]}}\n");
}

TEST_F(JobsTest, AServersErrorIsSaidInWords) {
  jobs_.refuse = testing::Refuse(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                                 "spec.training.preference_beta is of kind PREFERENCE alone");
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "b"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("error: preference_beta is of kind preference alone\n"));
}

TEST_F(JobsTest, ADataSetWithoutAVersionIsToldBeforeAnythingIsCreated) {
  EXPECT_EQ(Crossover({"tune", "empty", "--base", "b"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("projects/default/datasets/empty has no sealed version yet; make "
                               "one with `crossover dataset seal empty`"));
}

TEST_F(JobsTest, AMissingJobIsNotFound) {
  EXPECT_EQ(Crossover({"jobs", "show", "nope"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no projects/default/jobs/nope"));
}

TEST_F(JobsTest, LogsAreWhatTheWorkersWroteLast) {
  ASSERT_EQ(Crossover({"jobs", "logs", "06bq3f"}), kExitOk) << err();
  EXPECT_EQ(out(), "loading rows\nstep 115\n");
}

TEST_F(JobsTest, ComparedJobsShowWhereTheyDiffer) {
  ASSERT_EQ(Crossover({"jobs", "compare", "06bq3f", "06bq40"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("training.adapter.r  16      32"));
  EXPECT_THAT(out(), HasSubstr("step 40"));
  EXPECT_THAT(out(), HasSubstr("0.25 (-0.250)"));
  EXPECT_THAT(out(), HasSubstr("100"));
  EXPECT_EQ(Crossover({"jobs", "compare", "06bq3f"}), kExitUsage);
}

}  // namespace
}  // namespace crossover::cli
