#include "bench/queue/grpc_load.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "bench/queue/job_copies.h"
#include "bench/queue/sampled.h"
#include "common/process/spawn.h"
#include "common/rpc/channel.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"

namespace crossover::bench {
namespace {

namespace pb = scheduler::v1;

constexpr char kData[] = "projects/default/datasets/d/versions/sha256:1";
constexpr int kPollSeconds = 50;  // as a worker waits

pb::LeaseJobRequest Wish(const std::string& worker, int seconds) {
  pb::LeaseJobRequest request;
  request.set_worker("workers/" + worker);
  request.set_incarnation("life");
  request.mutable_wait()->set_seconds(seconds);
  return request;
}

pb::CompleteJobRequest Done(const pb::LeaseJobResponse& leased) {
  pb::CompleteJobRequest request;
  request.set_job(leased.job().name());
  request.set_token(leased.lease().token());
  request.set_epoch(leased.lease().epoch());
  request.mutable_success();
  return request;
}

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int Threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace

SchedulerUnderLoad::SchedulerUnderLoad()
    : logger_(NewJsonLogger({.service = "bench", .level = LogLevel::kError}, SystemClock())),
      fixture_({}, nullptr, logger_.get()) {
  fixture_.AddBase("base", "sha256:base");
  fixture_.curation().Add(kData, "sha256:data", 2000, 250);
}

std::string SchedulerUnderLoad::CreateJob() {
  const auto jobs = pb::JobService::NewStub(fixture_.channel());
  pb::CreateJobRequest request;
  request.set_parent("projects/default");
  request.mutable_job()->set_kind(pb::Job::SFT);
  request.mutable_job()->set_base_model("base");
  request.mutable_job()->set_dataset_version(kData);
  return Must(rpc::Invoke(*jobs, &pb::JobService::Stub::CreateJob, request), "create").name();
}

void SchedulerUnderLoad::Fill(int64_t jobs) {
  CreateJob();
  CopyJob(fixture_.database(), filled_ + 1, filled_ + jobs - 1);
  filled_ += jobs;
}

double SchedulerUnderLoad::Pairs(int clients, absl::Duration time) {
  std::atomic<int64_t> pairs = 0;
  const absl::Duration begin = SystemClock().SteadyNow();
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] {
      const auto leases = pb::LeaseService::NewStub(fixture_.channel());
      const pb::LeaseJobRequest wish = Wish(absl::StrCat("w", i), 1);
      while (SystemClock().SteadyNow() - begin < time) {
        const pb::LeaseJobResponse leased =
            Must(rpc::Invoke(*leases, &pb::LeaseService::Stub::LeaseJob, wish), "lease");
        if (!leased.has_job()) Must(absl::InternalError("no job is left"), "lease");
        Must(rpc::Invoke(*leases, &pb::LeaseService::Stub::CompleteJob, Done(leased)), "complete");
        ++pairs;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(pairs) / absl::ToDoubleSeconds(SystemClock().SteadyNow() - begin);
}

std::vector<double> SchedulerUnderLoad::SubmitToStart(int jobs) {
  std::vector<double> times;
  const auto leases = pb::LeaseService::NewStub(fixture_.channel());
  for (int i = 0; i < jobs; ++i) {
    absl::Duration got;
    std::thread worker([&] {
      const pb::LeaseJobResponse leased =
          Must(rpc::Invoke(*leases, &pb::LeaseService::Stub::LeaseJob, Wish("w", kPollSeconds),
                           {.timeout = absl::Seconds(60)}),
               "lease");
      got = SystemClock().SteadyNow();
      Must(rpc::Invoke(*leases, &pb::LeaseService::Stub::CompleteJob, Done(leased)), "complete");
    });
    SystemClock().SleepFor(absl::Milliseconds(150));  // until it waits
    const absl::Duration submitted = SystemClock().SteadyNow();
    CreateJob();
    worker.join();
    times.push_back(absl::ToDoubleMilliseconds(got - submitted));
  }
  return times;
}

SchedulerUnderLoad::Idle SchedulerUnderLoad::IdleWorkers(int workers, absl::Duration time,
                                                         const std::string& program) {
  const int threads_before = Threads();
  const pid_t pollers = Must(
      Spawn({.argv = {program, "--poll", fixture_.address(), "--workers", absl::StrCat(workers)},
             .parent_death_signal = SIGKILL}),
      "spawn");
  SystemClock().SleepFor(absl::Seconds(5));  // all have called
  const double before = ProcessorSeconds();
  const absl::Duration begin = SystemClock().SteadyNow();
  SystemClock().SleepFor(time);
  Idle idle;
  idle.cores =
      (ProcessorSeconds() - before) / absl::ToDoubleSeconds(SystemClock().SteadyNow() - begin);
  idle.threads = Threads();
  idle.threads_more = idle.threads - threads_before;
  const std::string known = fixture_.database().Query("SELECT count(*) FROM scheduler.worker");
  kill(pollers, SIGKILL);
  waitpid(pollers, nullptr, 0);
  if (std::atoi(known.c_str()) < workers) {
    Must(absl::InternalError(absl::StrCat("only ", known, " workers have asked")), "idle workers");
  }
  return idle;
}

namespace {

// One worker's endless poll.
class Poller {
 public:
  Poller(pb::LeaseService::Stub& leases, int number, int first_wait)
      : leases_(leases), name_(absl::StrCat("idle", number)) {
    Call(first_wait);
  }

 private:
  void Call(int seconds) {
    context_ = std::make_unique<grpc::ClientContext>();
    rpc::PrepareContext(*context_, {.timeout = absl::Seconds(90)});
    request_ = Wish(name_, seconds);
    request_.mutable_capabilities()->add_queues("nothing-comes-here");
    leases_.async()->LeaseJob(context_.get(), &request_, &response_, [this](grpc::Status status) {
      if (!status.ok()) std::fprintf(stderr, "poll: %s\n", status.error_message().c_str());
      Call(kPollSeconds);
    });
  }

  pb::LeaseService::Stub& leases_;
  const std::string name_;
  std::unique_ptr<grpc::ClientContext> context_;
  pb::LeaseJobRequest request_;
  pb::LeaseJobResponse response_;
};

}  // namespace

int Poll(const std::string& address, int workers) {
  const auto leases = pb::LeaseService::NewStub(rpc::NewChannel(address));
  std::vector<std::unique_ptr<Poller>> pollers;
  // Waits that do not all end at the same time, as those of real workers.
  for (int i = 0; i < workers; ++i) {
    pollers.push_back(std::make_unique<Poller>(*leases, i, 1 + i % kPollSeconds));
    if (i % 20 == 0) SystemClock().SleepFor(absl::Milliseconds(20));
  }
  SystemClock().SleepFor(absl::Minutes(10));
  return 0;
}

}  // namespace crossover::bench
