#include "services/platform/data_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::platform {
namespace {

using ::testing::HasSubstr;

TEST(DataFolderTest, IsLockedByOnePlatformAtATime) {
  testing::TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(auto folder, DataFolder::Open(dir / "data"));
    const absl::Status second = DataFolder::Open(dir / "data").status();
    EXPECT_THAT(second, HasReasonThat("DATA_FOLDER_IN_USE"));
    EXPECT_THAT(second.ToString(), HasSubstr(std::to_string(::getpid())));
    EXPECT_THAT(second.ToString(), HasSubstr("--data"));
  }
  EXPECT_OK(DataFolder::Open(dir / "data"));
}

TEST(DataFolderTest, StateFileSaysWhereThePlatformListensAndGoesWithIt) {
  testing::TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(auto folder, DataFolder::Open(dir / "data"));
    ASSERT_OK(folder->WriteState({.pid = 7, .grpc = "127.0.0.1:7070"}));
    const auto json = nlohmann::json::parse(testing::ReadFile(dir / "data/platform.json"));
    EXPECT_EQ(json.at("grpc"), "127.0.0.1:7070");
    EXPECT_EQ(json.at("pid"), 7);
  }
  EXPECT_FALSE(std::filesystem::exists(dir / "data/platform.json"));
}

TEST(GreetingTest, SaysWhereItListensAndWhatOneShouldKnow) {
  const StateFile state{.grpc = "127.0.0.1:7070", .http = "http://127.0.0.1:8080"};
  EXPECT_EQ(Greeting(state, {"the flag is ignored"}),
            "Crossover is ready.\n"
            "  OpenAI API   http://127.0.0.1:8080/v1\n"
            "  gRPC         127.0.0.1:7070\n"
            "  note         the flag is ignored\n"
            "  next         crossover --help shows the way through; Ctrl-C stops everything\n");
}

TEST(DataFolderTest, SocketsOfALongPathLieElsewhere) {
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto folder, DataFolder::Open(dir / std::string(120, 'x')));
  EXPECT_LT(folder->socket("grpc").string().size(), 100u);
  EXPECT_TRUE(std::filesystem::exists(folder->socket("grpc").parent_path()));
  std::filesystem::remove_all(folder->socket("grpc").parent_path());
}

// A device is a lock file that cannot be cut, however much room there is.
TEST(DataFolderTest, ALockThatCannotBeWrittenIsNoFullDisk) {
  testing::TempDir dir;
  std::filesystem::create_directories(dir / "data");
  std::filesystem::create_symlink("/dev/null", dir / "data/platform.lock");
  const absl::Status status = DataFolder::Open(dir / "data").status();
  EXPECT_THAT(status, HasReasonThat("DATA_FOLDER_UNUSABLE"));
  EXPECT_THAT(status.ToString(), HasSubstr("platform.lock"));
  EXPECT_THAT(status.ToString(), HasSubstr("choose another data folder with --data"));
}

TEST(DataFolderTest, ALockThatCannotBeOpenedSaysWhatToDo) {
  testing::TempDir dir;
  std::filesystem::create_directories(dir / "data/platform.lock");
  EXPECT_THAT(DataFolder::Open(dir / "data").status().ToString(),
              HasSubstr("choose another data folder with --data"));
}

TEST(DataFolderTest, AFolderThatCannotBeMadeIsNamed) {
  testing::TempDir dir;
  testing::WriteFile(dir / "file", "x");
  EXPECT_THAT(DataFolder::Open(dir / "file/data").status(), HasReasonThat("DATA_FOLDER_UNUSABLE"));
}

}  // namespace
}  // namespace crossover::platform
