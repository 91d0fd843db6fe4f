#include "llm/train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/status/error.h"
#include "llm/formats/testing_disk.h"
#include "llm/train/checkpoint_folder.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest()
      : folder_(fs::path(testing::TempDir()) / ("checkpoint_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~CheckpointTest() override { fs::remove_all(folder_); }

  static TrainState State(size_t values = 1000) {
    TrainState state{.step = 7,
                     .tokens_seen = 4096,
                     .last_loss = 0.1234567890123,
                     .fingerprint = "xxh3:1",
                     .compute_type = "bf16"};
    for (size_t i = 0; i < values; ++i) {
      state.adapter.push_back(static_cast<float>(i));
      state.m.push_back(static_cast<float>(i) / 3);
      state.v.push_back(static_cast<float>(i) / 7);
    }
    return state;
  }

  fs::path Checkpoint() {
    const fs::path path = folder_ / "c";
    fs::remove_all(path);
    EXPECT_TRUE(WriteCheckpoint(path, State()).ok());
    return path;
  }

  static std::string Text(const fs::path& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
  }

  void ExpectDamaged(const fs::path& checkpoint, const std::string& what) {
    const absl::Status status = ReadCheckpoint(checkpoint).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << what << ": " << status;
    EXPECT_TRUE(HasReason(status, "CHECKPOINT_DAMAGED")) << what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("earlier checkpoint")) << what;
  }

  fs::path folder_;
};

TEST_F(CheckpointTest, WhatIsWrittenIsRead) {
  const auto read = ReadCheckpoint(Checkpoint());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->step, 7);
  EXPECT_EQ(read->tokens_seen, 4096);
  EXPECT_EQ(read->last_loss, State().last_loss);
  EXPECT_EQ(read->fingerprint, "xxh3:1");
  EXPECT_EQ(read->compute_type, "bf16");
  EXPECT_EQ(read->adapter, State().adapter);
  EXPECT_EQ(read->m, State().m);
  EXPECT_EQ(read->v, State().v);
}

TEST_F(CheckpointTest, OneThatDoesNotSayItsComputeTypeIsReadAsBefore) {
  TrainState state = State();
  state.compute_type.clear();
  const fs::path folder = folder_ / "old";
  ASSERT_TRUE(WriteCheckpoint(folder, state).ok());
  std::string text = Text(folder / "state.json");
  const std::string member = "\"compute_type\": \"\",";
  ASSERT_NE(text.find(member), std::string::npos) << text;
  std::ofstream(folder / "state.json") << text.erase(text.find(member), member.size());
  const auto read = ReadCheckpoint(folder);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->compute_type, "");
}

TEST_F(CheckpointTest, MissingFolderIsNotFound) {
  const absl::Status status = ReadCheckpoint(folder_ / "none").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("none"));
}

TEST_F(CheckpointTest, MissingFilesAreDamage) {
  for (const char* name : {"state.json", "state.safetensors"}) {
    const fs::path checkpoint = Checkpoint();
    fs::remove(checkpoint / name);
    ExpectDamaged(checkpoint, name);
  }
}

// Each member replaced by values of other types, by other values, and left out.
TEST_F(CheckpointTest, EveryChangeOfTheStateIsDamageAndNoCrash) {
  const fs::path checkpoint = Checkpoint();
  const std::string whole = Text(checkpoint / "state.json");
  const auto expect = [&](const std::string& text) {
    std::ofstream(checkpoint / "state.json") << text;
    ExpectDamaged(checkpoint, text);
  };
  for (const char* text : {"", "null", "7", "[]", "\"text\"", "{}", "{\"format\": 7}",
                           "{\"format\": \"crossover.checkpoint.v1\"}", "\xff\xfe"})
    expect(text);
  for (const std::string member :
       {"format", "step", "tokens_seen", "last_loss", "fingerprint", "compute_type", "hash"}) {
    const size_t begin = whole.find("\"" + member + "\": ") + member.size() + 4;
    const size_t end = whole.find_first_of(",\n", begin);
    ASSERT_NE(begin, std::string::npos + member.size() + 4) << member;
    for (const char* value : {"null", "true", "[]", "{}", "\"x\"", "1", "-1", "1e300", "7.5",
                              "18446744073709551615", "123456789012345678901234567890"}) {
      std::string changed = whole;
      expect(changed.replace(begin, end - begin, value));
    }
    std::string renamed = whole;
    expect(renamed.replace(whole.find("\"" + member), member.size() + 1, "\"_"));
  }
  for (size_t size = 0; size + 1 < whole.size(); ++size) expect(whole.substr(0, size));
}

TEST_F(CheckpointTest, TruncatedOrChangedTensorsAreDamage) {
  const fs::path checkpoint = Checkpoint();
  const std::string whole = Text(checkpoint / "state.safetensors");
  for (size_t at = 0; at < whole.size(); at += 37) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    std::ofstream(checkpoint / "state.safetensors", std::ios::binary) << changed;
    const auto read = ReadCheckpoint(checkpoint);
    // A bit of the header's padding or of its "format" may change without changing the state.
    if (read.ok()) {
      EXPECT_EQ(read->adapter, State().adapter) << at;
    } else {
      EXPECT_TRUE(HasReason(read.status(), "CHECKPOINT_DAMAGED")) << at << read.status();
    }
    std::ofstream(checkpoint / "state.safetensors", std::ios::binary) << whole.substr(0, at);
    ExpectDamaged(checkpoint, "cut at " + std::to_string(at));
  }
}

// Equal hashes of the joined tensors, but the optimizer would read beyond its moments.
TEST_F(CheckpointTest, TensorsOfDifferentSizesAreDamage) {
  TrainState state = State();
  state.v.push_back(state.m.back());
  state.m.pop_back();
  const fs::path path = folder_ / "uneven";
  ASSERT_TRUE(WriteCheckpoint(path, state).ok());
  ExpectDamaged(path, "uneven");
}

TEST_F(CheckpointTest, FullDiskLeavesNothingBehindAndTheEarlierCheckpointWhole) {
  const fs::path earlier = Checkpoint();
  absl::Status status;
  {
    const FullDisk disk(4096);
    status = WriteCheckpoint(folder_ / "next", State());
  }
  EXPECT_TRUE(HasReason(status, "DISK_FULL")) << status;
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("next"));
  EXPECT_THAT(message, HasSubstr("needs 12000 bytes"));
  EXPECT_THAT(message, HasSubstr("free some space"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
  EXPECT_TRUE(ReadCheckpoint(earlier).ok());
}

class CheckpointFolderTest : public CheckpointTest {
 protected:
  absl::StatusOr<fs::path> Resume() {
    return ResumeFromNewest(
        folder_,
        [&](const fs::path& path) {
          const auto state = ReadCheckpoint(path);
          if (state.ok()) step_ = state->step;
          return state.status();
        },
        [&](const absl::Status& status) { passed_over_.push_back(std::string(status.message())); });
  }

  void Write(int64_t step) {
    TrainState state = State();
    state.step = step;
    ASSERT_TRUE(WriteCheckpoint(CheckpointPath(folder_, step), state).ok());
  }

  int64_t step_ = -1;
  std::vector<std::string> passed_over_;
};

TEST_F(CheckpointFolderTest, TheNewestThatIsSoundIsTaken) {
  EXPECT_EQ(Resume().value(), fs::path());
  for (const int64_t step : {9, 10, 11, 100}) Write(step);
  EXPECT_EQ(Resume().value(), CheckpointPath(folder_, 100));
  EXPECT_TRUE(passed_over_.empty());
  fs::resize_file(CheckpointPath(folder_, 100) / "state.safetensors", 100);
  fs::remove(CheckpointPath(folder_, 11) / "state.json");
  EXPECT_EQ(Resume().value(), CheckpointPath(folder_, 10));
  EXPECT_EQ(step_, 10);
  ASSERT_EQ(passed_over_.size(), 2u);
  EXPECT_THAT(passed_over_[0], HasSubstr("step-000000000100"));
  EXPECT_THAT(passed_over_[1], HasSubstr("step-000000000011"));
  for (const int64_t step : {9, 10}) fs::remove_all(CheckpointPath(folder_, step));
  EXPECT_EQ(Resume().value(), fs::path());
}

TEST_F(CheckpointFolderTest, AnErrorThatIsNoDamageEndsTheSearch) {
  Write(1);
  Write(2);
  const auto resumed = ResumeFromNewest(
      folder_,
      [](const fs::path&) {
        return Error(absl::StatusCode::kFailedPrecondition, "CHECKPOINT_MISMATCH", "other run");
      },
      [](const absl::Status&) { FAIL(); });
  EXPECT_TRUE(HasReason(resumed.status(), "CHECKPOINT_MISMATCH"));
}

TEST_F(CheckpointFolderTest, OlderOnesAndHalfWrittenOnesAreRemoved) {
  for (const int64_t step : {1, 2, 3, 4}) Write(step);
  fs::create_directories(folder_ / "step-000000000005.partial-77");
  fs::create_directories(folder_ / "adapter");
  ASSERT_TRUE(KeepNewest(folder_, 2).ok());
  EXPECT_THAT(CheckpointsIn(folder_).value(),
              testing::ElementsAre(CheckpointPath(folder_, 4), CheckpointPath(folder_, 3)));
  EXPECT_TRUE(fs::exists(folder_ / "adapter"));
  EXPECT_FALSE(fs::exists(folder_ / "step-000000000005.partial-77"));
  EXPECT_TRUE(KeepNewest(folder_ / "none", 2).ok());
}

}  // namespace
}  // namespace crossover::llm
