// dataset import and adapter export: bytes to and from a server.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "cli/output/error.h"
#include "cli/testing/cli_fixture.h"
#include "common/testing/temp_dir.h"
#include "crossover/curation/v1/curation_service.grpc.pb.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/curation/v1/file_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace curation = ::crossover::curation::v1;
namespace scheduler = ::crossover::scheduler::v1;
using curation::CurationRun;
using ::testing::HasSubstr;

constexpr char kFile[] = "projects/default/files/06bf";
constexpr char kRun[] = "projects/default/datasets/rows/runs/06br";

class FakeFiles final : public curation::FileService::Service {
 public:
  std::string bytes;
  int uploads = 0;
  bool break_first = false;
  // What the server says of the file's lines; REJECTED when none of them is a row.
  curation::File::State state = curation::File::READY;
  std::string state_reason;
  int64_t problem_count = 0;
  curation::Problem::Severity severity = curation::Problem::ERROR;

 private:
  grpc::Status CreateFile(grpc::ServerContext*, const curation::CreateFileRequest* request,
                          curation::File* response) override {
    *response = request->file();
    response->set_name(kFile);
    response->set_state(curation::File::UPLOADING);
    return grpc::Status::OK;
  }
  grpc::Status GetFile(grpc::ServerContext*, const curation::GetFileRequest*,
                       curation::File* response) override {
    response->set_name(kFile);
    response->set_size_bytes(static_cast<int64_t>(bytes.size()));
    return grpc::Status::OK;
  }
  grpc::Status UploadFile(grpc::ServerContext*,
                          grpc::ServerReader<curation::UploadFileRequest>* reader,
                          curation::File* response) override {
    ++uploads;
    curation::UploadFileRequest piece;
    bool first = true;
    while (reader->Read(&piece)) {
      if (first &&
          (piece.name() != kFile || piece.offset() != static_cast<int64_t>(bytes.size()))) {
        return {grpc::StatusCode::INVALID_ARGUMENT, "wrong offset"};
      }
      first = false;
      bytes += piece.data();
      if (break_first && uploads == 1) return {grpc::StatusCode::UNAVAILABLE, "gone"};
    }
    response->set_name(kFile);
    response->set_filename("rows.jsonl");
    response->set_state(state);
    response->set_state_reason(state_reason);
    response->set_problem_count(problem_count);
    return grpc::Status::OK;
  }
  grpc::Status ListProblems(grpc::ServerContext*, const curation::ListProblemsRequest*,
                            curation::ListProblemsResponse* response) override {
    curation::Problem& problem = *response->add_problems();
    problem.set_line(536);
    problem.set_field("messages[2].content");
    problem.set_message("is missing");
    problem.set_severity(severity);
    return grpc::Status::OK;
  }
};

class FakeVersions final : public curation::DatasetService::Service {
 public:
  curation::CreateDatasetRequest created;
  curation::SealDatasetVersionRequest sealed;

 private:
  grpc::Status GetDataset(grpc::ServerContext*, const curation::GetDatasetRequest*,
                          curation::Dataset*) override {
    return testing::Refuse(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", "none");
  }
  grpc::Status CreateDataset(grpc::ServerContext*, const curation::CreateDatasetRequest* request,
                             curation::Dataset*) override {
    created = *request;
    return grpc::Status::OK;
  }
  grpc::Status SealDatasetVersion(grpc::ServerContext*,
                                  const curation::SealDatasetVersionRequest* request,
                                  curation::DatasetVersion* response) override {
    sealed = *request;
    response->set_name("projects/default/datasets/rows/versions/sha256:3f2a");
    response->set_artifact_digest("sha256:aaaa");
    auto& train = *response->add_counts();
    train.set_split("train");
    train.set_rows(4970);
    train.set_clusters(4900);
    return grpc::Status::OK;
  }
};

class FakeCuration final : public curation::CurationService::Service {
 public:
  CurationRun run;

 private:
  grpc::Status CreateCurationRun(grpc::ServerContext*,
                                 const curation::CreateCurationRunRequest* request,
                                 CurationRun* response) override {
    run = request->curation_run();
    run.set_name(kRun);
    run.set_state(CurationRun::QUEUED);
    *response = run;
    return grpc::Status::OK;
  }
  grpc::Status WatchCurationRun(
      grpc::ServerContext*, const curation::WatchCurationRunRequest*,
      grpc::ServerWriter<curation::WatchCurationRunResponse>* writer) override {
    run.set_state(CurationRun::SUCCEEDED);
    auto& step = *run.add_funnel();
    step.set_stage("near_duplicates");
    step.set_rows_in(5000);
    step.set_rows_out(4970);
    (*step.mutable_dropped())["jaccard"] = 30;
    step.mutable_duration()->set_seconds(2);
    curation::WatchCurationRunResponse item;
    *item.mutable_snapshot() = run;
    writer->Write(item);
    return grpc::Status::OK;
  }
  grpc::Status GetCurationRun(grpc::ServerContext*, const curation::GetCurationRunRequest*,
                              CurationRun* response) override {
    *response = run;
    return grpc::Status::OK;
  }
};

class FakeModels final : public scheduler::ModelService::Service {
 public:
  scheduler::ExportModelRequest exported;
  scheduler::ImportModelRequest imported;
  std::string digest =
      "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";  // of "hello"
  std::string path = "adapter_config.json";

 private:
  grpc::Status ListModelVersions(grpc::ServerContext*, const scheduler::ListModelVersionsRequest*,
                                 scheduler::ListModelVersionsResponse* response) override {
    response->add_model_versions()->set_alias("ft:a:b:c:d");
    return grpc::Status::OK;
  }
  grpc::Status ImportModel(grpc::ServerContext*, const scheduler::ImportModelRequest* request,
                           scheduler::ModelVersion* response) override {
    imported = *request;
    return Get(response);
  }
  grpc::Status GetModelVersion(grpc::ServerContext*, const scheduler::GetModelVersionRequest*,
                               scheduler::ModelVersion* response) override {
    return Get(response);
  }
  grpc::Status Get(scheduler::ModelVersion* response) const {
    response->set_name("projects/default/models/small/versions/" + digest);
    response->set_state(scheduler::ModelVersion::READY);
    response->set_digest(digest);
    if (imported.has_adapter_path()) response->set_base_digest("sha256:base");
    return grpc::Status::OK;
  }
  grpc::Status ExportModel(grpc::ServerContext*, const scheduler::ExportModelRequest* request,
                           scheduler::Job* response) override {
    if (request->name().ends_with("no-such"))
      return testing::Refuse(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", "no version");
    exported = *request;
    response->set_name("projects/default/jobs/06bj");
    response->set_state(scheduler::Job::SUCCEEDED);
    response->mutable_outputs()->set_artifact("sha256:ffff");
    return grpc::Status::OK;
  }
  grpc::Status DownloadArtifact(
      grpc::ServerContext*, const scheduler::DownloadArtifactRequest*,
      grpc::ServerWriter<scheduler::DownloadArtifactResponse>* writer) override {
    scheduler::DownloadArtifactResponse piece;
    piece.set_path(path);
    piece.set_sha256(digest);
    piece.set_total_bytes(5);
    piece.set_data("hel");
    writer->Write(piece);
    piece.Clear();
    piece.set_data("lo");
    writer->Write(piece);
    return grpc::Status::OK;
  }
};

class FilesTest : public testing::CliTest {
 protected:
  FilesTest() { Serve({&files_, &datasets_, &curation_, &models_}); }

  std::string Rows(size_t bytes) {
    std::string rows;
    while (rows.size() < bytes)
      rows += R"({"messages":[{"role":"user","content":"hello"}]})"
              "\n";
    crossover::testing::WriteFile(folder_ / "rows.jsonl", rows);
    return rows;
  }
  std::string Path() const { return (folder_ / "rows.jsonl").string(); }

  crossover::testing::TempDir folder_;
  FakeFiles files_;
  FakeVersions datasets_;
  FakeCuration curation_;
  FakeModels models_;
};

TEST_F(FilesTest, ImportUploadsCuratesSealsAndPrintsTheFunnel) {
  const std::string rows = Rows(3'000'000);
  EXPECT_EQ(Crossover({"dataset", "import", "rows", Path(), "--task", "support", "--seal"}),
            kExitOk)
      << err();
  EXPECT_EQ(files_.bytes, rows);
  EXPECT_EQ(datasets_.created.dataset_id(), "rows");
  EXPECT_EQ(datasets_.created.dataset().task(), "projects/default/tasks/support");
  EXPECT_EQ(curation_.run.inputs(0).file(), kFile);
  EXPECT_EQ(datasets_.sealed.run(), kRun);
  EXPECT_EQ(out(),
            "STAGE               IN    OUT  DROPPED   TIME  WHY\n"
            "near_duplicates  5,000  4,970       30  2.0 s  jaccard 30\n"
            "\n"
            "version   projects/default/datasets/rows/versions/sha256:3f2a\n"
            "artifact  sha256:aaaa\n"
            "\n"
            "SPLIT   ROWS  CLUSTERS  CHARACTERS\n"
            "train  4,970     4,900           0\n");
}

TEST_F(FilesTest, AnInterruptedUploadGoesOnWhereItStopped) {
  const std::string rows = Rows(3'000'000);
  files_.break_first = true;
  EXPECT_EQ(Crossover({"dataset", "import", "rows", Path()}), kExitOk) << err();
  EXPECT_EQ(files_.uploads, 2);
  EXPECT_EQ(files_.bytes, rows);
}

TEST_F(FilesTest, AFileThatIsNotThereLeavesNoDataSet) {
  EXPECT_NE(Crossover({"dataset", "import", "rows", Path() + ".gone"}), kExitOk);
  EXPECT_THAT(err(), HasSubstr("rows.jsonl.gone"));
  EXPECT_EQ(datasets_.created.dataset_id(), "");
}

TEST_F(FilesTest, AFileWithoutARowIsRejectedByLineAndField) {
  Rows(100);
  files_.state = curation::File::REJECTED;
  files_.state_reason = "no line could be read; the first: line 536 is no JSON";
  files_.problem_count = 1;
  EXPECT_EQ(Crossover({"dataset", "import", "rows", Path()}), kExitFailure);
  EXPECT_EQ(
      err().substr(err().find("error:")),
      "error: rows.jsonl was rejected: no line could be read; the first: line 536 is no JSON\n"
      "  line 536 messages[2].content  is missing\n"
      "  reason                        ROW_INVALID\n"
      "  try                           correct the lines named above and import again\n");
}

TEST_F(FilesTest, LinesThatAreLeftOutAreNamedAndTheRestGoesOn) {
  Rows(100);
  files_.state_reason = "21 of 536 lines are wrong and left out; ListProblems names them";
  files_.problem_count = 21;
  EXPECT_EQ(Crossover({"dataset", "import", "rows", Path()}), kExitOk);
  EXPECT_THAT(
      err(),
      HasSubstr(
          "warning: rows.jsonl: 21 problems; 21 of 536 lines are wrong and left out; ListProblems "
          "names them\n"
          "  line 536 messages[2].content  is missing\n"
          "  and                           20 more\n"
          "  try                           go on without these lines, or correct them and import "
          "the file again\n"));
  EXPECT_THAT(out(), HasSubstr("near_duplicates"));
}

TEST_F(FilesTest, AKeyThatNobodyReadsIsAWarningAndKeepsItsRow) {
  Rows(100);
  files_.problem_count = 1;
  files_.severity = curation::Problem::WARNING;
  EXPECT_EQ(Crossover({"dataset", "import", "rows", Path()}), kExitOk);
  EXPECT_THAT(err(), HasSubstr("warning: rows.jsonl: 1 problem\n"));
  EXPECT_THAT(err(), HasSubstr("is missing (the row is kept)\n"));
  EXPECT_THAT(err(), HasSubstr("nothing has to be done"));
}

TEST_F(FilesTest, AFileThatIsMissingOrEmptyIsAUsageError) {
  EXPECT_EQ(Crossover({"dataset", "import", "rows", "/nowhere.jsonl"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("cannot read /nowhere.jsonl"));
  crossover::testing::WriteFile(folder_ / "rows.jsonl", "");
  EXPECT_EQ(Crossover({"dataset", "import", "rows", Path()}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("is empty"));
}

TEST_F(FilesTest, ExportWritesVerifiedFiles) {
  const std::string target = (folder_ / "out").string();
  EXPECT_EQ(
      Crossover({"adapter", "export", "ft:a:b:c:d", "--format", "gguf-q8_0", "--out", target}),
      kExitOk)
      << err();
  EXPECT_EQ(models_.exported.name(), "projects/default/models/-/versions/ft:a:b:c:d");
  EXPECT_EQ(models_.exported.format(), scheduler::ExportSpec::GGUF_Q8_0);
  EXPECT_EQ(crossover::testing::ReadFile(folder_ / "out/adapter_config.json"), "hello");
  // What is not a format is told beside what is.
  EXPECT_EQ(Crossover({"adapter", "export", "x", "--format", "gguf-q2_k"}), kExitUsage);
  for (const char* format : {"gguf-q4_k_m", "gguf-adapter", "safetensors", "peft"})
    EXPECT_THAT(err(), HasSubstr(format));
}

TEST_F(FilesTest, ModelsAreImportedFromFoldersAndAdapters) {
  EXPECT_EQ(Crossover({"models", "import", "small", "--folder", "/models/small"}), kExitOk)
      << err();
  EXPECT_EQ(models_.imported.model_id(), "small");
  EXPECT_EQ(models_.imported.folder_path(), "/models/small");
  EXPECT_THAT(out(), HasSubstr(models_.digest));
  EXPECT_EQ(Crossover({"models", "import", "tuned", "--adapter", "/adapters/1", "--base", "small"}),
            kExitOk)
      << err();
  EXPECT_EQ(models_.imported.adapter_path(), "/adapters/1");
  EXPECT_EQ(models_.imported.base_model(), "small");
  EXPECT_THAT(out(), HasSubstr("sha256:base"));
}

TEST_F(FilesTest, AnImportHasOneSourceAndABaseForAnAdapterOnly) {
  EXPECT_EQ(Crossover({"models", "import", "x"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("one of --gguf, --folder, --package and --adapter"));
  EXPECT_EQ(Crossover({"models", "import", "x", "--folder", "/a", "--gguf", "/b"}), kExitUsage);
  EXPECT_EQ(Crossover({"models", "import", "x", "--folder", "/a", "--base", "b"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("--base goes with --adapter"));
  EXPECT_EQ(models_.imported.model_id(), "");
}

TEST_F(FilesTest, AnAdapterThatIsNotThereIsToldWithThoseThatAre) {
  EXPECT_EQ(Crossover({"adapter", "export", "no-such"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no adapter 'no-such'; there are: ft:a:b:c:d\n"));
}

TEST_F(FilesTest, BytesWithAnotherDigestAreNotKept) {
  models_.digest = "sha256:0000";
  EXPECT_EQ(Crossover({"adapter", "export", "a", "--out", (folder_ / "out").string()}),
            kExitFailure);
  EXPECT_THAT(err(), HasSubstr("arrived as sha256:2cf24dba"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/adapter_config.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/adapter_config.json.part"));
}

// /dev/full answers every write with "no space left on device".
TEST_F(FilesTest, AFullDiskLeavesNoFileThatLooksWhole) {
  std::filesystem::create_directories(folder_ / "out");
  std::filesystem::create_symlink("/dev/full", folder_ / "out/adapter_config.json.part");
  const std::string target = (folder_ / "out").string();
  EXPECT_EQ(Crossover({"adapter", "export", "a", "--out", target}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("adapter_config.json.part: No space left on device\n"));
  EXPECT_THAT(err(), HasSubstr("DISK_FULL"));
  EXPECT_THAT(err(), HasSubstr("make room on the disk of " + target +
                               ", or name a folder on another with --out\n"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "out"));
}

TEST_F(FilesTest, AFileThatCannotBeWrittenForAnotherReasonIsNoFullDisk) {
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const int code = Crossover({"adapter", "export", "a", "--out", (folder_ / "out").string()});
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(code, kExitFailure);
  EXPECT_THAT(err(), HasSubstr("adapter_config.json.part: File too large\n"));
  EXPECT_THAT(err(), HasSubstr("FILE_WRITE_FAILED"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "out"));
}

TEST_F(FilesTest, AnArtifactCannotWriteOutsideItsFolder) {
  models_.path = "../../escape";
  EXPECT_EQ(Crossover({"adapter", "export", "a", "--out", (folder_ / "out").string()}),
            kExitFailure);
  EXPECT_THAT(err(), HasSubstr("the artifact names a path outside itself"));
}

}  // namespace
}  // namespace crossover::cli
