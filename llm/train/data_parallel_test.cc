// Two and four processes that train one adapter over Gloo give what one process gives; one that is
// killed ends the others, and all go on from the last checkpoint.
//
// The test is its own helper: started with --rank it is one of the processes.
#include <c10/core/InferenceMode.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/status/error.h"
#include "common/testing/free_port.h"
#include "llm/lora/adapter.h"
#include "llm/model/testing.h"
#include "llm/train/c10d_collective.h"
#include "llm/train/collective.h"
#include "llm/train/data_parallel.h"
#include "llm/train/trainer.h"

extern char** environ;

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

constexpr int kSteps = 8;
constexpr int kPeerLost = 3;  // Exit status of a process that lost another one.

std::vector<TrainRow> Rows() {
  std::vector<TrainRow> rows;
  for (int r = 0; r < 22; ++r) {  // Windows of 5, the last of 2: uneven shares, and empty ones.
    TrainRow row{.id = "row-" + std::to_string(r),
                 .weight = 1.0f + 0.25f * static_cast<float>(r % 3)};
    for (int t = 0; t < 20 + r; ++t) row.ids.push_back((t < 18 ? t : t * (r + 3)) % 128);
    row.token_weights.assign(row.ids.size(), 1.0f);
    std::fill(row.token_weights.begin(), row.token_weights.begin() + 10, 0.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

TrainConfig Config() {
  return {.rank = 4, .learning_rate = 0.01, .max_steps = kSteps, .batch_rows = 5, .seed = 2};
}

// ---- one process of a group

struct ProcessArguments {
  int rank = 0;
  int size = 1;
  int port = 0;
  std::string folder;
  std::string resume;  // A checkpoint, or empty.
  int step_ms = 0;     // How long a step is made to take.
};

absl::Status TrainAsOneOf(const ProcessArguments& a) {
  auto peers =
      JoinGloo({.rank = a.rank, .size = a.size, .port = a.port, .timeout = absl::Seconds(60)});
  if (!peers.ok()) return peers.status();
  auto trainer = Trainer::Create(TinyModel(), Config(), Rows(), Rows(), *std::move(peers));
  if (!trainer.ok()) return trainer.status();
  if (!a.resume.empty()) {
    if (const absl::Status resumed = (*trainer)->Resume(a.resume); !resumed.ok()) return resumed;
  }
  std::ofstream losses(fs::path(a.folder) / ("losses-" + std::to_string(a.rank)));
  losses.precision(17);
  absl::Status saved;
  const auto outcome = (*trainer)->Run([&](const StepReport& report) {
    losses << report.loss << " " << report.tokens << " " << report.trained_tokens << std::endl;
    if (a.rank == 0)
      saved = (*trainer)->SaveCheckpoint(a.folder + "/checkpoint-" + std::to_string(report.step));
    std::this_thread::sleep_for(std::chrono::milliseconds(a.step_ms));
    return StepDecision::kContinue;
  });
  if (!outcome.ok()) return outcome.status();
  if (!saved.ok()) return saved;
  const auto evaluation = (*trainer)->Evaluate();
  if (!evaluation.ok()) return evaluation.status();
  losses << evaluation->loss << " " << evaluation->trained_tokens << " 0" << std::endl;
  return (*trainer)->ExportAdapter(a.folder + "/adapter-" + std::to_string(a.rank), "tiny");
}

int ProcessMain(char** argv) {
  const ProcessArguments arguments{
      std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]), argv[5], argv[6],
      std::atoi(argv[7])};
  const absl::Status status = TrainAsOneOf(arguments);
  if (status.ok()) return 0;
  std::cerr << "rank " << arguments.rank << ": " << status << std::endl;
  return HasReason(status, "PEER_LOST") ? kPeerLost : 1;
}

pid_t Spawn(const ProcessArguments& a) {
  std::vector<std::string> arguments = {"data_parallel_test",
                                        "--rank",
                                        std::to_string(a.rank),
                                        std::to_string(a.size),
                                        std::to_string(a.port),
                                        a.folder,
                                        a.resume,
                                        std::to_string(a.step_ms)};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t process = 0;
  EXPECT_EQ(posix_spawn(&process, "/proc/self/exe", nullptr, nullptr, argv.data(), environ), 0);
  return process;
}

// ---- the group

class DataParallelTest : public ::testing::Test {
 protected:
  DataParallelTest()
      : folder_(fs::temp_directory_path() / ("crossover_parallel_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~DataParallelTest() override { fs::remove_all(folder_); }

  std::vector<pid_t> Start(int size, const std::string& name, const std::string& resume = "",
                           int step_ms = 0) {
    const fs::path folder = folder_ / name;
    fs::create_directories(folder);
    const int port = testing::FreePort();
    std::vector<pid_t> processes;
    for (int rank = 0; rank < size; ++rank)
      processes.push_back(Spawn({rank, size, port, folder.string(), resume, step_ms}));
    return processes;
  }

  // Exit status, or 128 + signal.
  static int Wait(pid_t process) {
    int status = 0;
    EXPECT_EQ(waitpid(process, &status, 0), process);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  void Train(int size, const std::string& name, const std::string& resume = "") {
    for (const pid_t process : Start(size, name, resume)) EXPECT_EQ(Wait(process), 0);
  }

  std::string Text(const fs::path& file) const {
    std::ostringstream out;
    out << std::ifstream(folder_ / file, std::ios::binary).rdbuf();
    return out.str();
  }
  std::string AdapterBytes(const std::string& name, int rank = 0) const {
    return Text(fs::path(name) / ("adapter-" + std::to_string(rank)) / "adapter_model.safetensors");
  }
  std::vector<double> Numbers(const std::string& name) const {
    std::istringstream in(Text(fs::path(name) / "losses-0"));
    return {std::istream_iterator<double>(in), std::istream_iterator<double>()};
  }
  std::vector<float> Adapter(const std::string& name) const {
    auto adapter = ReadAdapter(folder_ / name / "adapter-0", TinyConfig());
    EXPECT_TRUE(adapter.ok()) << adapter.status();
    return adapter->values;
  }

  fs::path folder_;
};

TEST_F(DataParallelTest, TwoAndFourProcessesTrainAsOne) {
  Train(1, "one");
  const std::vector<double> want = Numbers("one");
  ASSERT_EQ(want.size(), 3u * (kSteps + 1));
  const std::vector<float> adapter = Adapter("one");
  for (const int size : {2, 4}) {
    const std::string name = std::to_string(size);
    Train(size, name);
    const std::vector<double> got = Numbers(name);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5 * want[i]) << i;
    const std::vector<float> values = Adapter(name);
    ASSERT_EQ(values.size(), adapter.size());
    double difference = 0, norm = 0;
    for (size_t i = 0; i < adapter.size(); ++i) {
      difference += std::pow(values[i] - adapter[i], 2);
      norm += std::pow(adapter[i], 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), 1e-3);
    // Not rounding, but the same bits on all ranks.
    for (int rank = 1; rank < size; ++rank)
      EXPECT_EQ(AdapterBytes(name, rank), AdapterBytes(name)) << rank;
  }
}

TEST_F(DataParallelTest, AKilledProcessEndsTheOthersAndAllGoOnFromTheCheckpoint) {
  Train(2, "whole");
  const std::vector<pid_t> processes = Start(2, "killed", "", /*step_ms=*/300);
  while (!fs::exists(folder_ / "killed" / "checkpoint-3"))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_EQ(kill(processes[1], SIGKILL), 0);
  EXPECT_EQ(Wait(processes[1]), 128 + SIGKILL);
  EXPECT_EQ(Wait(processes[0]), kPeerLost);
  EXPECT_FALSE(fs::exists(folder_ / "killed" / ("checkpoint-" + std::to_string(kSteps))));
  Train(2, "resumed", (folder_ / "killed" / "checkpoint-3").string());
  EXPECT_EQ(AdapterBytes("resumed"), AdapterBytes("whole"));
}

TEST(CollectiveTest, WrongNumbersAreNamed) {
  const auto message = [](const Rendezvous& rendezvous) {
    const absl::Status status = JoinGloo(rendezvous).status();
    EXPECT_TRUE(HasReason(status, "BAD_RENDEZVOUS")) << status;
    return std::string(status.message());
  };
  EXPECT_EQ(message({.rank = 2, .size = 2, .port = 1}),
            "rank is 2; of 2 processes the ranks are 0 to 1");
  EXPECT_NE(message({.size = 0, .port = 1}).find("size is 0"), std::string::npos);
  EXPECT_NE(message({.port = 0}).find("port is 0"), std::string::npos);
  EXPECT_NE(message({.host = "", .port = 1}).find("host"), std::string::npos);
  EXPECT_NE(message({.port = 1, .timeout = absl::ZeroDuration()}).find("timeout"),
            std::string::npos);
}

TEST(CollectiveTest, WhoComesAloneGivesUp) {
  const absl::Status status =
      JoinGloo({.rank = 1, .size = 2, .port = testing::FreePort(), .timeout = absl::Seconds(1)})
          .status();
  EXPECT_TRUE(HasReason(status, "PEER_LOST")) << status;
}

// Two ranks in threads of this process.
struct Pair {
  absl::StatusOr<std::unique_ptr<Collective>> first = absl::UnknownError(""),
                                              second = first.status();

  explicit Pair(Rendezvous rendezvous) {
    rendezvous.size = 2;
    if (rendezvous.port == 0) rendezvous.port = testing::FreePort();
    std::thread other([&] {
      Rendezvous mine = rendezvous;
      mine.rank = 1;
      mine.stop = nullptr;
      second = JoinGloo(mine);
    });
    first = JoinGloo(rendezvous);
    other.join();
  }
};

TEST(CollectiveTest, AWaitForOthersEndsWhenItIsToldTo) {
  bool asked = false;
  const auto stop = [&] { return std::exchange(asked, true); };
  const Rendezvous meeting{
      .size = 2, .port = testing::FreePort(), .timeout = absl::Minutes(5), .stop = stop};
  EXPECT_TRUE(absl::IsCancelled(JoinGloo(meeting).status()));  // Nobody else comes.
  asked = false;
  Rendezvous visit = meeting;
  visit.rank = 1;
  EXPECT_TRUE(absl::IsCancelled(JoinGloo(visit).status()));  // Nobody is there.
}

// Its machine is gone, and nothing closes the connection.
TEST_F(DataParallelTest, AWaitEndsWhenItIsToldToAlsoIfRankZeroHasFallenSilent) {
  std::atomic<bool> stop = false;
  Rendezvous visit{.rank = 1,
                   .size = 1,
                   .port = testing::FreePort(),
                   .purpose = "to see whether it is there",
                   .timeout = absl::Seconds(60),
                   .stop = [&] { return stop.load(); }};
  const pid_t leader =
      Spawn({.rank = 0, .size = 4, .port = visit.port, .folder = folder_.string()});
  EXPECT_TRUE(MeetOthers(visit).ok());
  visit.size = 4;
  visit.purpose = "";
  absl::Status status;
  std::thread waiting([&] { status = MeetOthers(visit).status(); });
  // Rank 0 counts three when both it and the one that waits have come: a fourth never does.
  Rendezvous third{.rank = 2, .size = 3, .port = visit.port, .timeout = absl::Seconds(30)};
  const absl::Status connected = MeetOthers(third).status();
  EXPECT_TRUE(connected.ok()) << connected;
  ::kill(leader, SIGSTOP);
  const auto before = std::chrono::steady_clock::now();
  stop = true;
  waiting.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
  ::kill(leader, SIGKILL);
  EXPECT_EQ(Wait(leader), 128 + SIGKILL);
}

TEST(CollectiveTest, WhoComesForSomethingElseIsNotCounted) {
  const Rendezvous meeting{
      .size = 2, .port = testing::FreePort(), .purpose = "job 1", .timeout = absl::Seconds(3)};
  std::thread other([&] {
    Rendezvous visit = meeting;
    visit.rank = 1;
    visit.purpose = "job 2";
    EXPECT_TRUE(HasReason(JoinGloo(visit).status(), "PEER_LOST"));
  });
  const absl::Status status = JoinGloo(meeting).status();
  EXPECT_TRUE(HasReason(status, "PEER_LOST")) << status;
  EXPECT_NE(status.message().find("1 came within 3s"), std::string::npos) << status;
  other.join();
}

TEST(CollectiveTest, ASumThatOthersDoNotJoinIsGivenUpWhenItIsToldToAndFreesThePlace) {
  std::atomic<bool> stop = false;
  Rendezvous rendezvous{.timeout = absl::Seconds(10), .stop = [&] { return stop.load(); }};
  Pair pair(rendezvous);
  ASSERT_TRUE(pair.first.ok()) << pair.first.status();
  ASSERT_TRUE(pair.second.ok()) << pair.second.status();
  std::vector<float> ones(1000, 1), twos(1000, 2);
  const auto sum = [](Collective& collective, std::vector<float>& values) {
    const c10::InferenceMode inference;  // As the trainer calls.
    const absl::Status status = collective.Sum(std::span<float>(values));
    EXPECT_TRUE(status.ok()) << status;
  };
  std::thread other([&] { sum(**pair.second, twos); });
  sum(**pair.first, ones);
  other.join();
  EXPECT_EQ(ones, std::vector<float>(1000, 3));
  EXPECT_EQ(twos, ones);

  stop = true;  // The other one is there, but does nothing.
  EXPECT_TRUE(absl::IsCancelled((*pair.first)->Sum(std::span<float>(ones))));
  EXPECT_EQ(ones, std::vector<float>(1000, 3));
  EXPECT_TRUE(HasReason((*pair.first)->Sum(std::span<float>(ones)), "PEER_LOST"));
}

// Both add up once.
void ExpectSum(const Pair& pair) {
  ASSERT_TRUE(pair.first.ok()) << pair.first.status();
  ASSERT_TRUE(pair.second.ok()) << pair.second.status();
  std::vector<double> one = {1}, two = {2};
  std::thread other([&] { EXPECT_TRUE((*pair.second)->Sum(std::span<double>(two)).ok()); });
  EXPECT_TRUE((*pair.first)->Sum(std::span<double>(one)).ok());
  other.join();
  EXPECT_EQ(one, std::vector<double>{3});
  EXPECT_EQ(two, one);
}

TEST(CombineTest, ARowWhoseLossIsNotFiniteIsKnownToAllWhoeverComputesIt) {
  Pair pair(Rendezvous{.timeout = absl::Seconds(30)});
  ASSERT_TRUE(pair.first.ok()) << pair.first.status();
  ASSERT_TRUE(pair.second.ok()) << pair.second.status();
  const auto combine = [&](int64_t of_first, int64_t of_second) {
    std::vector<float> gradient = {1}, other_gradient = {2};
    LossResult sum{.weighted_loss = 1}, other_sum{.weighted_loss = 2};
    int64_t computed = 5, other_computed = 6;
    std::thread other([&] {
      EXPECT_TRUE(
          Combine(**pair.second, of_second, other_sum, other_computed, other_gradient).ok());
    });
    EXPECT_TRUE(Combine(**pair.first, of_first, sum, computed, gradient).ok());
    other.join();
    EXPECT_EQ(of_first, of_second);
    EXPECT_EQ(sum.weighted_loss, of_first < 0 ? 3 : 1);
    EXPECT_EQ(computed, of_first < 0 ? 11 : 5);
    EXPECT_EQ(gradient[0], of_first < 0 ? 3 : 1);
    return of_first;
  };
  EXPECT_EQ(combine(-1, -1), -1);
  EXPECT_EQ(combine(-1, PlaceInWindow(0, **pair.second)), 1);
  EXPECT_EQ(combine(PlaceInWindow(2, **pair.first), 1), 1);
  EXPECT_EQ(combine(0, 3), 0);
}

TEST(CollectiveTest, ThePlaceIsFreeForTheNextMeetingWhenOneIsOver) {
  Rendezvous rendezvous{
      .port = testing::FreePort(), .timeout = absl::Seconds(30), .stop = [] { return false; }};
  for (const char* purpose : {"job 1", "job 2", "job 2"}) {
    rendezvous.purpose = purpose;
    ExpectSum(Pair(rendezvous));
  }
}

TEST(CollectiveTest, WhoServesWhereAnotherOneDoesGivesUpAtOnce) {
  const Rendezvous rendezvous{
      .size = 2, .port = testing::FreePort(), .timeout = absl::Seconds(60), .stop = [] {
        return false;
      }};
  std::atomic<bool> over = false;
  Rendezvous first = rendezvous;
  first.stop = [&] { return over.load(); };
  std::thread waiting([&] { EXPECT_TRUE(absl::IsCancelled(JoinGloo(first).status())); });
  Rendezvous visit = rendezvous;  // Until the first one serves.
  visit.rank = 1;
  visit.purpose = "another";
  visit.timeout = absl::Seconds(2);
  EXPECT_TRUE(HasReason(JoinGloo(visit).status(), "PEER_LOST"));
  const auto before = std::chrono::steady_clock::now();
  const absl::Status status = JoinGloo(rendezvous).status();
  EXPECT_TRUE(HasReason(status, "PEER_LOST")) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(30));
  over = true;
  waiting.join();
}

TEST(CollectiveTest, AConnectionThatAnotherOneDoesNotMakeIsGivenUpAndFreesThePlace) {
  std::atomic<bool> stop = false;
  Rendezvous rendezvous{.size = 2,
                        .port = testing::FreePort(),
                        .purpose = "job 1",
                        .timeout = absl::Seconds(60),
                        .stop = [&] { return stop.load(); }};
  std::thread other([&] {
    Rendezvous visit = rendezvous;
    visit.rank = 1;
    visit.stop = nullptr;
    const auto met = MeetOthers(visit);  // It comes, and then does nothing.
    EXPECT_TRUE(met.ok()) << met.status();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop = true;
  });
  const auto before = std::chrono::steady_clock::now();
  const absl::Status status = JoinGloo(rendezvous).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(30));
  other.join();
  stop = false;
  rendezvous.purpose = "job 2";
  ExpectSum(Pair(rendezvous));
}

TEST(CollectiveTest, ASumThatOthersDoNotJoinEndsAfterItsTime) {
  const Rendezvous rendezvous{.timeout = absl::Seconds(30),
                              .sum_timeout = absl::Seconds(1),
                              .first_sum_timeout = absl::Seconds(30),
                              .stop = [] { return false; }};
  Pair pair(rendezvous);
  ASSERT_TRUE(pair.first.ok()) << pair.first.status();
  ASSERT_TRUE(pair.second.ok()) << pair.second.status();
  std::vector<double> one = {1}, two = {2};
  std::thread other([&] {  // Later than sum_timeout, but it is the first.
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    EXPECT_TRUE((*pair.second)->Sum(std::span<double>(two)).ok());
  });
  const absl::Status first = (*pair.first)->Sum(std::span<double>(one));
  EXPECT_TRUE(first.ok()) << first;
  other.join();
  const auto before = std::chrono::steady_clock::now();
  const absl::Status status = (*pair.first)->Sum(std::span<double>(one));
  EXPECT_TRUE(HasReason(status, "PEER_LOST")) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

TEST(CollectiveTest, APluginThatIsNotThereOrNoneIsNamed) {
  const auto status = [](const char* plugin) {
    const absl::Status status = JoinNccl({.port = 1}, plugin).status();
    EXPECT_TRUE(HasReason(status, "NCCL_UNAVAILABLE")) << status;
    return std::string(status.message());
  };
  EXPECT_NE(status("/nowhere/libcrossover_nccl.so").find("/nowhere/libcrossover_nccl.so"),
            std::string::npos);
  EXPECT_NE(status("libm.so.6").find("crossover_nccl_join"), std::string::npos);
}

}  // namespace
}  // namespace crossover::llm

int main(int argc, char** argv) {
  if (argc == 8 && std::string(argv[1]) == "--rank") return crossover::llm::ProcessMain(argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
