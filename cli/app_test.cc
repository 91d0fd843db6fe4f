// The command line itself: help, mistakes, servers that are not there.
#include "cli/app.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/output/error.h"
#include "cli/testing/cli_fixture.h"
#include "common/testing/temp_dir.h"

namespace crossover::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AppTest : public testing::CliTest {};

TEST_F(AppTest, HelpNamesEveryCommandTheWayThroughAndTheExitCodes) {
  EXPECT_EQ(Crossover({"--help"}), kExitOk);
  for (const char* command :
       {"up",      "status", "task",       "prompt",   "dataset", "suite",     "evaluate",
        "compare", "ladder", "decide",     "diagnose", "tune",    "jobs",      "adapter",
        "models",  "route",  "experiment", "feedback", "lineage", "completion"}) {
    EXPECT_THAT(out(), HasSubstr("\n  " + std::string(command) + " ")) << command;
  }
  EXPECT_THAT(out(), HasSubstr("The way through:"));
  EXPECT_THAT(out(), HasSubstr("Exit codes: 0 done, 1 failed or refused, 2 wrong arguments or "
                               "files, 3 no server there."));
}

TEST_F(AppTest, HelpOfACommandHasItsOptionsAndExamples) {
  EXPECT_EQ(Crossover({"tune", "--help"}), kExitOk);
  EXPECT_EQ(out(), R"(Train a LoRA adapter on a sealed data set, with live progress
Usage: crossover tune [OPTIONS] dataset

Positionals:
  dataset TEXT REQUIRED       DATASET[@VERSION]; without @ the newest sealed version

Options:
  -h,--help                   Print this help message and exit
  --base TEXT REQUIRED        Base model: slug, name or digest
  --task TEXT                 Task the adapter is for
  --suffix TEXT               Last part of the adapter's name
  --file TEXT:FILE            YAML file with training settings
  --set TEXT ...              FIELD=VALUE of the training settings; may be given again
  --kind TEXT:{sft,preference,distil}=sft
                              sft: the rows' answers; preference: DPO on rows with `rejected`; distil: rows with a teacher's `logprobs`
  --sweep TEXT ...            FIELD=VALUE,VALUE to try; may be given again for a grid. The adapter with the best validation loss is the result
  --priority INT:INT in [-100 - 100]
                              -100 to 100, higher is earlier
  --workers INT:INT in [1 - 64]
                              Workers (of --max-gang and --gang-address) that train it together
  --request-id TEXT           UUID that makes a repeat harmless
  --estimate,--validate-only  Check and estimate only
  -d,--detach                 Do not wait

Examples:
  crossover tune support-rows --base smollm2-135m-instruct --suffix support
  crossover tune support-rows --base smollm2-135m-instruct --estimate
  crossover tune support-pairs --kind preference --base smollm2-135m-instruct
  crossover tune support-rows --base smollm2-135m-instruct --sweep learning_rate=3e-4,1e-3 --sweep adapter.r=8,32
  crossover tune support-rows@3f2a --base smollm2-135m-instruct --set epochs=1 --set adapter.r=32
Fields of --set and --file are those of TrainingSpec (protos/crossover/scheduler/v1/job.proto).
)");
}

// Command lines of README.md, in words, without their comments.
std::vector<std::vector<std::string>> ReadmeCommands() {
  std::ifstream file(std::filesystem::path(std::getenv("CROSSOVER_SOURCE_DIR")) / "README.md");
  std::vector<std::vector<std::string>> commands;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("crossover ", 0) != 0) continue;
    std::istringstream text(line.substr(0, line.find(" #")));
    std::vector<std::string> words;
    for (std::string word; text >> word;) words.push_back(word);
    commands.emplace_back(words.begin() + 1, words.end());
  }
  return commands;
}

TEST_F(AppTest, EveryCommandOfTheReadmeIsOneThatTheProgramKnows) {
  const crossover::testing::TempDir folder;
  crossover::testing::WriteFile(folder / "task.yaml", "owner: ana\n");
  crossover::testing::WriteFile(folder / "prompt.yaml",
                                "messages: [{role: user, content: hello}]\n");
  crossover::testing::WriteFile(folder / "rows.jsonl", "{}\n");
  exec_ = [](const std::string&, const std::vector<std::string>&) { return absl::OkStatus(); };
  const std::vector<std::vector<std::string>> commands = ReadmeCommands();
  EXPECT_GT(commands.size(), 10U);
  for (std::vector<std::string> command : commands) {
    for (std::string& word : command) {
      if (std::filesystem::exists(folder / word)) word = (folder / word).string();
    }
    // Without a server a right command line gets as far as asking for one; `up` asks for none.
    EXPECT_EQ(Crossover(command), command[0] == "up" ? kExitOk : kExitUnreachable)
        << command[0] << ": " << err();
  }
}

TEST_F(AppTest, WrongArgumentsEndInExitCodeTwoAndAGuess) {
  EXPECT_EQ(Crossover({"jbos"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("error: there is no command 'jbos'; did you mean 'jobs'?"));
  EXPECT_EQ(Crossover({"jobs", "lst"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("there is no command 'lst'; did you mean 'list'?"));
  EXPECT_EQ(Crossover({"tune", "rows"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("--base is required"));
  EXPECT_EQ(Crossover({"tune", "rows", "--bsae", "x"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("there is no option '--bsae'; did you mean '--base'?"));
  EXPECT_THAT(err(), HasSubstr("try  `crossover tune --help` shows arguments and examples"));
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "x", "--epoch", "3"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("there is no option '--epoch'; did you mean '--set epochs=VALUE'?"));
  EXPECT_EQ(Crossover({"tune", "rows", "--base", "x", "--learning-rate=1e-4"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("did you mean '--set learning_rate=VALUE'?"));
  EXPECT_EQ(Crossover({"prompt", "create", "no-slash", "--system", "x"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("'no-slash' is not a prompt's name; write TASK/PROMPT"));
  EXPECT_THAT(err(), HasSubstr("`crossover prompt create --help` shows"));
  EXPECT_EQ(Crossover({}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("`crossover --help` shows"));
}

TEST_F(AppTest, NoServerEndsInExitCodeThreeAndSaysHowToStartOne) {
  EXPECT_EQ(Crossover({"jobs", "list"}), kExitUnreachable);
  EXPECT_EQ(err(),
            "error: no Crossover server answers at 127.0.0.1:1\n"
            "  try  start it with `crossover up`, or name a server with --server HOST:PORT or "
            "CROSSOVER_SERVER\n");
  EXPECT_EQ(Crossover({"status"}), kExitUnreachable);
}

TEST_F(AppTest, TheServerIsFoundByFlagThenVariableThenStateFileThenDefault) {
  crossover::testing::TempDir data;
  environment_.erase("CROSSOVER_SERVER");
  environment_["CROSSOVER_DATA"] = data.path().string();
  crossover::testing::WriteFile(data / "platform.json", R"({"pid": 1, "grpc": "127.0.0.1:2"})");
  Crossover({"jobs", "list"});
  EXPECT_THAT(err(), HasSubstr("answers at 127.0.0.1:2\n"));
  environment_["CROSSOVER_SERVER"] = "127.0.0.1:3";
  Crossover({"jobs", "list"});
  EXPECT_THAT(err(), HasSubstr("answers at 127.0.0.1:3\n"));
  Crossover({"jobs", "list", "--server", "127.0.0.1:4"});
  EXPECT_THAT(err(), HasSubstr("answers at 127.0.0.1:4\n"));
}

TEST_F(AppTest, ADataFolderInWhichNothingRunsIsNamedAndNoOtherServerIsAsked) {
  const crossover::testing::TempDir data;
  const std::string folder = data.path().string();
  environment_.erase("CROSSOVER_SERVER");
  EXPECT_EQ(Crossover({"--data", folder, "jobs", "list"}), kExitUnreachable);
  EXPECT_EQ(err(), "error: no platform runs in " + folder +
                       ", which --data names\n  try  start it with `crossover --data " + folder +
                       " up`, or name a server with --server HOST:PORT or CROSSOVER_SERVER\n");
  EXPECT_EQ(Crossover({"status", "--data", folder}), kExitUnreachable);
  EXPECT_THAT(err(), HasSubstr("no platform runs in " + folder));
  EXPECT_EQ(Crossover({"jobs", "list", "--data", folder, "--server", "127.0.0.1:4"}),
            kExitUnreachable);
  EXPECT_THAT(err(), HasSubstr("answers at 127.0.0.1:4\n"));
}

TEST_F(AppTest, ADataFolderOfTheEnvironmentInWhichNothingRunsIsNamedToo) {
  const crossover::testing::TempDir data;
  for (const std::string& folder : {data.path().string(), (data / "absent").string()}) {
    environment_.erase("CROSSOVER_SERVER");
    environment_["CROSSOVER_DATA"] = folder;
    EXPECT_EQ(Crossover({"jobs", "list"}), kExitUnreachable);
    EXPECT_EQ(err(),
              "error: no platform runs in " + folder +
                  ", which CROSSOVER_DATA names\n  try  start it with `crossover up`, or name "
                  "a server with --server HOST:PORT or CROSSOVER_SERVER\n");
    environment_["CROSSOVER_SERVER"] = "127.0.0.1:3";
    EXPECT_EQ(Crossover({"jobs", "list"}), kExitUnreachable);
    EXPECT_THAT(err(), HasSubstr("answers at 127.0.0.1:3\n"));
  }
}

TEST_F(AppTest, UpBecomesThePlatformWithItsOptions) {
  std::string program;
  std::vector<std::string> arguments;
  exec_ = [&](const std::string& name, const std::vector<std::string>& all) {
    program = name;
    arguments = all;
    return absl::OkStatus();
  };
  EXPECT_EQ(
      Crossover({"--data", "/srv/x", "up", "--http-address", "0.0.0.0:8080", "--drain-timeout=5s"}),
      kExitOk)
      << err();
  EXPECT_EQ(program, "crossover-platform");
  EXPECT_THAT(arguments, ElementsAre("--data", "/srv/x", "--http-address", "0.0.0.0:8080",
                                     "--drain-timeout=5s"));
}

TEST_F(AppTest, CompletionKnowsCommandsAndOptions) {
  EXPECT_EQ(Crossover({"completion", "bash"}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("'experiment') words='start status explain watch advance rollback "
                               "pause resume abort delete --help'"));
  EXPECT_THAT(out(), HasSubstr("complete -o filenames -F _crossover crossover"));
  EXPECT_EQ(Crossover({"completion", "zsh"}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("bashcompinit"));
}

}  // namespace
}  // namespace crossover::cli
