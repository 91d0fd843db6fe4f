// The whole service through its RPCs, on a real database and blob store.
#include "services/data_curation/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/blob/directory_blob_store.h"
#include "common/dataset/shard.h"
#include "common/json/digest.h"
#include "common/list/page.h"
#include "common/log/fake_logger.h"
#include "common/rpc/error_mapper.h"
#include "common/rpc/server.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/testing/temp_dir.h"
#include "crossover/curation/v1/curation_service.grpc.pb.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/curation/v1/file_service.grpc.pb.h"

namespace crossover::curation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kRequest7[] = "7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0007";
constexpr char kRequest8[] = "7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0008";
constexpr char kRequest9[] = "7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0009";

class ModuleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(
        blobs_, NewDirectoryBlobStore({.root = dir_ / "blobs", .reserve_bytes = 0, .sync = false},
                                      SystemClock()));
    Start();
    v1::CreateDatasetRequest request;
    request.set_parent("projects/default");
    request.set_dataset_id("packages");
    request.mutable_dataset()->set_licence("MIT");
    v1::Dataset dataset;
    ASSERT_OK(Call(&v1::DatasetService::Stub::CreateDataset, *datasets_, request, dataset));
  }

  void Start() {
    ASSERT_OK_AND_ASSIGN(module_,
                         Module::Create({.work_folder = dir_ / "work"}, {.pool = *pool_,
                                                                         .blobs = *blobs_,
                                                                         .clock = SystemClock(),
                                                                         .random = SystemRandom(),
                                                                         .registry = registry_,
                                                                         .logger = logger_}));
    ASSERT_OK_AND_ASSIGN(
        server_, rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {module_.get()}, logger_));
    channel_ = server_->InProcessChannel();
    files_ = v1::FileService::NewStub(channel_);
    datasets_ = v1::DatasetService::NewStub(channel_);
    runs_ = v1::CurationService::NewStub(channel_);
  }

  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
  }

  template <typename Stub, typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    Stub& stub, const Request& request, Response& response) {
    grpc::ClientContext context;
    return rpc::FromGrpc((stub.*method)(&context, request, &response));
  }

  v1::File CreateFile() {
    v1::CreateFileRequest request;
    request.set_parent("projects/default");
    request.mutable_file()->set_filename("rows.jsonl");
    v1::File file;
    EXPECT_OK(Call(&v1::FileService::Stub::CreateFile, *files_, request, file));
    return file;
  }

  // Sends `bytes` from `offset` on in pieces.
  absl::Status Send(const std::string& name, int64_t offset, const std::string& bytes, bool finish,
                    v1::File& file, const std::string& sha256 = "") {
    grpc::ClientContext context;
    const auto writer = files_->UploadFile(&context, &file);
    constexpr size_t kPiece = 1000;
    for (size_t at = 0; at == 0 || at < bytes.size(); at += kPiece) {
      v1::UploadFileRequest piece;
      if (at == 0) piece.set_name(name);
      if (at == 0) piece.set_offset(offset);
      piece.set_data(bytes.substr(at, kPiece));
      piece.set_finish(finish && at + kPiece >= bytes.size());
      piece.set_sha256(sha256);
      if (!writer->Write(piece)) break;
    }
    writer->WritesDone();
    return rpc::FromGrpc(writer->Finish());
  }

  v1::File Upload(const std::string& bytes) {
    v1::File file = CreateFile();
    EXPECT_OK(Send(file.name(), 0, bytes, true, file));
    return file;
  }

  static std::string Row(const std::string& input, const std::string& answer) {
    return absl::StrCat(R"({"messages":[{"role":"user","content":")", input,
                        R"("},{"role":"assistant","content":")", answer, "\"}]}\n");
  }
  static std::string Rows(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += Row(absl::StrCat("r", i * 7919, " s", i * 104729), absl::StrCat("a", i % 3));
    }
    return text;
  }

  absl::StatusOr<v1::CurationRun> CreateRun(const std::string& file,
                                            const std::string& request_id = "",
                                            bool validate_only = false) {
    v1::CreateCurationRunRequest request;
    request.set_parent("projects/default/datasets/packages");
    request.mutable_curation_run()->add_inputs()->set_file(file);
    request.set_request_id(request_id);
    request.set_validate_only(validate_only);
    v1::CurationRun run;
    const absl::Status status =
        Call(&v1::CurationService::Stub::CreateCurationRun, *runs_, request, run);
    if (!status.ok()) return status;
    return run;
  }

  // Follows the run to its end. What the watch said is added to `told`: the state of the snapshot,
  // then the messages of later events; of a run that was over already there are none.
  v1::CurationRun Finished(const std::string& name, std::vector<std::string>* told = nullptr) {
    grpc::ClientContext context;
    v1::WatchCurationRunRequest request;
    request.set_name(name);
    const auto reader = runs_->WatchCurationRun(&context, request);
    v1::WatchCurationRunResponse item;
    while (reader->Read(&item)) {
      if (told == nullptr) continue;
      told->push_back(item.has_event() ? item.event().message()
                                       : v1::CurationRun::State_Name(item.snapshot().state()));
    }
    EXPECT_OK(rpc::FromGrpc(reader->Finish()));
    v1::GetCurationRunRequest get;
    get.set_name(name);
    v1::CurationRun run;
    EXPECT_OK(Call(&v1::CurationService::Stub::GetCurationRun, *runs_, get, run));
    return run;
  }

  absl::StatusOr<v1::DatasetVersion> Seal(const std::string& run,
                                          const std::string& request_id = "") {
    v1::SealDatasetVersionRequest request;
    request.set_parent("projects/default/datasets/packages");
    request.set_run(run);
    request.set_request_id(request_id);
    v1::DatasetVersion version;
    const absl::Status status =
        Call(&v1::DatasetService::Stub::SealDatasetVersion, *datasets_, request, version);
    if (!status.ok()) return status;
    return version;
  }

  crossover::testing::TempDir dir_;
  crossover::testing::PgDatabase db_{{Module::RequiredMigrations()}};
  std::unique_ptr<pg::Pool> pool_ = db_.NewPool("curation");
  FakeLogger logger_;
  metrics::Registry registry_{"test"};
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<Module> module_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::FileService::Stub> files_;
  std::unique_ptr<v1::DatasetService::Stub> datasets_;
  std::unique_ptr<v1::CurationService::Stub> runs_;
};

TEST_F(ModuleTest, AFileBecomesASealedVersionWithItsReport) {
  const v1::File file = Upload(Rows(60) + Row("r0 s0", "a0") + "oops\n");
  EXPECT_EQ(file.state(), v1::File::READY);
  EXPECT_EQ(file.row_count(), 61);
  EXPECT_EQ(file.problem_count(), 1);
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run, CreateRun(file.name()));
  std::vector<std::string> told;
  run = Finished(run.name(), &told);
  ASSERT_EQ(run.state(), v1::CurationRun::SUCCEEDED) << run.state_reason();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back(), "SUCCEEDED");
  EXPECT_EQ(run.funnel_size(), 6);
  EXPECT_EQ(run.funnel(0).dropped().at("row_invalid"), 1);
  EXPECT_EQ(run.funnel(2).dropped().at("duplicate"), 1);

  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion version, Seal(run.name()));
  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion again, Seal(run.name()));
  EXPECT_EQ(version.digest(), again.digest());
  EXPECT_EQ(version.name(), "projects/default/datasets/packages/versions/" + version.digest());
  EXPECT_EQ(version.licence(), "MIT");
  ASSERT_OK(blobs_->Materialise(version.artifact_digest(), dir_ / "sealed"));
  EXPECT_OK(dataset::VerifyShards(dir_ / "sealed"));
  EXPECT_EQ(dataset::ReadRows(dir_ / "sealed", "")->size(), 60u);

  v1::GetDatasetReportRequest request;
  request.set_name(version.name());
  v1::DatasetReport report;
  ASSERT_OK(Call(&v1::DatasetService::Stub::GetDatasetReport, *datasets_, request, report));
  EXPECT_EQ(report.funnel_size(), 6);
  EXPECT_EQ(report.recipe_digest(), run.recipe_digest());
  EXPECT_GT(report.findings_size(), 0);
  EXPECT_THAT(registry_.Expose(), HasSubstr("crossover_curation_rows_total"));
}

TEST_F(ModuleTest, ABadLine536IsReportedWithItsField) {
  std::string text = Rows(535);
  text +=
      R"({"messages":[{"role":"user","content":"u"},{"role":"user","content":"v"},{"role":"assistant","tool_calls":)"
      R"([{"id":"c","type":"function","function":{"name":"f","arguments":"{"}}]}]})"
      "\n" +
      Rows(10);
  const v1::File file = Upload(text);
  EXPECT_EQ(file.row_count(), 545);
  EXPECT_EQ(
      file.state_reason(),
      "1 of 546 lines are wrong and left out; the file's problems name them: correct those and "
      "upload the file anew, or go on without");
  v1::ListProblemsRequest request;
  request.set_parent(file.name());
  v1::ListProblemsResponse response;
  ASSERT_OK(Call(&v1::FileService::Stub::ListProblems, *files_, request, response));
  ASSERT_EQ(response.problems_size(), 1);
  EXPECT_EQ(response.problems(0).line(), 536);
  EXPECT_EQ(response.problems(0).message(),
            "line 536: messages[2].tool_calls[0].function.arguments is not valid JSON");
}

TEST_F(ModuleTest, AnInterruptedUploadGoesOnWhereItStopped) {
  const std::string text = Rows(100);
  v1::File file = CreateFile();
  ASSERT_OK(Send(file.name(), 0, text.substr(0, 2500), false, file));
  EXPECT_EQ(file.size_bytes(), 2500);
  const absl::Status wrong = Send(file.name(), 100, text.substr(100), true, file);
  EXPECT_THAT(wrong, HasReasonThat("UPLOAD_OFFSET_INVALID"));
  EXPECT_EQ(DetailOf(wrong).metadata.at("expected_offset"), "2500");
  ASSERT_OK(Send(file.name(), 2500, text.substr(2500), true, file));
  EXPECT_EQ(file.state(), v1::File::READY);
  EXPECT_EQ(file.row_count(), 100);

  grpc::ClientContext context;
  v1::DownloadFileRequest request;
  request.set_name(file.name());
  request.set_offset(10);
  const auto reader = files_->DownloadFile(&context, request);
  std::string bytes;
  v1::DownloadFileResponse piece;
  while (reader->Read(&piece)) bytes += piece.data();
  EXPECT_EQ(bytes, text.substr(10));
}

TEST_F(ModuleTest, AFileWithoutRowsIsRejectedAndARunSaysWhy) {
  const v1::File file = Upload("not json\n");
  EXPECT_EQ(file.state(), v1::File::REJECTED);
  EXPECT_THAT(file.state_reason(), HasSubstr("line 1: row is not valid JSON"));
  EXPECT_THAT(CreateRun(file.name()), HasReasonThat("FILE_NOT_READY"));
  v1::File empty = CreateFile();
  EXPECT_THAT(Send(empty.name(), 0, "", true, empty), HasReasonThat("FILE_EMPTY"));
}

TEST_F(ModuleTest, NineRowsFailTheRunWithWhatToDo) {
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run, CreateRun(Upload(Rows(9)).name()));
  run = Finished(run.name());
  EXPECT_EQ(run.state(), v1::CurationRun::FAILED);
  EXPECT_EQ(run.error_reason(), "TOO_FEW_ROWS");
  EXPECT_THAT(run.state_reason(), HasSubstr("training needs at least 10: add rows"));
  EXPECT_THAT(Seal(run.name()), HasReasonThat("RUN_NOT_SUCCEEDED"));
}

TEST_F(ModuleTest, EqualRequestIdsGiveOneRunAndAnotherPayloadIsRefused) {
  const v1::File file = Upload(Rows(20));
  ASSERT_OK_AND_ASSIGN(const v1::CurationRun first, CreateRun(file.name(), kRequest7));
  ASSERT_OK_AND_ASSIGN(const v1::CurationRun second, CreateRun(file.name(), kRequest7));
  EXPECT_EQ(first.name(), second.name());
  EXPECT_THAT(CreateRun(Upload(Rows(21)).name(), kRequest7), HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(CreateRun(file.name(), "abc"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be a UUID")));
}

TEST_F(ModuleTest, ValidateOnlyResolvesTheRecipeAndStoresNothing) {
  ASSERT_OK_AND_ASSIGN(const v1::CurationRun run, CreateRun(Upload(Rows(20)).name(), "", true));
  EXPECT_EQ(run.estimate().rows(), 20);
  EXPECT_EQ(run.resolved_recipe().stages_size(), 5);
  EXPECT_EQ(run.resolved_recipe().stages(3).parameters().fields().at("threshold").number_value(),
            0.8);
  v1::ListCurationRunsRequest request;
  request.set_parent("projects/default/datasets/-");
  v1::ListCurationRunsResponse response;
  ASSERT_OK(Call(&v1::CurationService::Stub::ListCurationRuns, *runs_, request, response));
  EXPECT_EQ(response.curation_runs_size(), 0);
}

TEST_F(ModuleTest, RowsOfARunAreListedWithTheirReasonsAndFiltered) {
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run,
                       CreateRun(Upload(Rows(30) + Row("r0 s0", "a0")).name()));
  run = Finished(run.name());
  v1::ListRowsRequest request;
  request.set_parent(run.name());
  request.set_filter("drop_reason = \"exact_duplicates/duplicate\"");
  v1::ListRowsResponse response;
  ASSERT_OK(Call(&v1::DatasetService::Stub::ListRows, *datasets_, request, response));
  ASSERT_EQ(response.rows_size(), 1);
  EXPECT_EQ(response.rows(0).origin().line(), 31);
  EXPECT_EQ(response.rows(0).flags(0).code(), "duplicate");

  int seen = 0;
  request.clear_filter();
  request.set_page_size(10);
  request.set_order_by("origin.line");
  do {
    ASSERT_OK(Call(&v1::DatasetService::Stub::ListRows, *datasets_, request, response));
    for (const v1::Row& row : response.rows()) EXPECT_EQ(row.origin().line(), ++seen);
    request.set_page_token(response.next_page_token());
    response.clear_rows();
  } while (!request.page_token().empty());
  EXPECT_EQ(seen, 31);
}

TEST_F(ModuleTest, ForgottenRowsStayOutOfLaterVersionsAndTheDiffNamesThem) {
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run, CreateRun(Upload(Rows(30)).name()));
  run = Finished(run.name());
  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion before, Seal(run.name()));
  v1::ListRowsRequest list;
  list.set_parent(before.name());
  list.set_page_size(1);
  v1::ListRowsResponse rows;
  ASSERT_OK(Call(&v1::DatasetService::Stub::ListRows, *datasets_, list, rows));
  const std::string digest = rows.rows(0).row_digest();

  v1::ForgetRequest forget;
  forget.set_parent("projects/default");
  forget.mutable_tombstone()->set_row_digest(digest);
  v1::Tombstone tombstone;
  ASSERT_OK(Call(&v1::DatasetService::Stub::Forget, *datasets_, forget, tombstone));
  EXPECT_THAT(tombstone.affected_versions(), ElementsAre(before.name()));
  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion after, Seal(run.name()));
  EXPECT_NE(after.digest(), before.digest());
  EXPECT_EQ(after.tombstones_applied(), 1);

  v1::DiffDatasetVersionsRequest request;
  request.set_name(after.name());
  request.set_base(before.name());
  v1::DiffDatasetVersionsResponse diff;
  ASSERT_OK(Call(&v1::DatasetService::Stub::DiffDatasetVersions, *datasets_, request, diff));
  EXPECT_EQ(diff.removed(), 1);
  EXPECT_EQ(diff.added() + diff.changed(), 0);
  EXPECT_EQ(diff.changes(0).row_digest(), digest);
}

TEST_F(ModuleTest, AVersionIsExportedAndMayBeTheInputOfAnotherRun) {
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run, CreateRun(Upload(Rows(30)).name()));
  run = Finished(run.name());
  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion version, Seal(run.name()));
  grpc::ClientContext context;
  v1::ExportDatasetVersionRequest request;
  request.set_name(version.name());
  request.set_split("train");
  const auto reader = datasets_->ExportDatasetVersion(&context, request);
  std::string bytes;
  v1::ExportDatasetVersionResponse piece;
  while (reader->Read(&piece)) bytes += piece.data();
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), '\n'), version.counts(0).rows());
  EXPECT_THAT(bytes, HasSubstr("{\"messages\":[{\"content\":"));

  v1::CreateCurationRunRequest again;
  again.set_parent("projects/default/datasets/packages");
  again.mutable_curation_run()->add_inputs()->set_dataset_version(version.name());
  v1::CurationRun second;
  ASSERT_OK(Call(&v1::CurationService::Stub::CreateCurationRun, *runs_, again, second));
  second = Finished(second.name());
  ASSERT_EQ(second.state(), v1::CurationRun::SUCCEEDED) << second.state_reason();
  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion resealed, Seal(second.name()));
  EXPECT_EQ(resealed.merkle_root(), version.merkle_root());
}

TEST_F(ModuleTest, ARunThatWasLeftBehindIsTakenOverAfterARestart) {
  const v1::File file = Upload(Rows(40));
  server_->Stop();
  module_.reset();
  // What a killed worker leaves: a run that is RUNNING under a lease that nobody renews.
  Start();
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run, CreateRun(file.name(), "", false));
  run = Finished(run.name());
  db_.Execute(
      "UPDATE curation.run SET state = 'RUNNING', finish_time = NULL, lease_owner = 'gone', "
      "lease_expire_time = now() - interval '1 second'");
  const v1::CurationRun finished = Finished(run.name());
  EXPECT_EQ(finished.state(), v1::CurationRun::SUCCEEDED);
  for (const v1::FunnelStep& step : finished.funnel()) EXPECT_TRUE(step.cached()) << step.stage();
}

TEST_F(ModuleTest, ADatabaseThatGoesAwayDuringARunCostsTimeAlone) {
  ASSERT_OK_AND_ASSIGN(const v1::CurationRun created, CreateRun(Upload(Rows(1500)).name()));
  crossover::testing::PgDatabase door;  // from where the service's own can be shut
  for (int i = 0; i < 5; ++i) {
    door.Execute("ALTER DATABASE " + db_.name() + " ALLOW_CONNECTIONS false");
    door.Execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" +
                 db_.name() + "'");
    SystemClock().SleepFor(absl::Milliseconds(200));
    door.Execute("ALTER DATABASE " + db_.name() + " ALLOW_CONNECTIONS true");
    SystemClock().SleepFor(absl::Milliseconds(100));
  }
  v1::CurationRun run;
  for (int i = 0; i < 300 && run.state() != v1::CurationRun::SUCCEEDED; ++i) {
    run = Finished(created.name());
    ASSERT_NE(run.state(), v1::CurationRun::FAILED) << run.state_reason();
  }
  ASSERT_EQ(run.state(), v1::CurationRun::SUCCEEDED);
  EXPECT_EQ(run.funnel_size(), 6);
  // Each stage once, in a sequence of events without gaps.
  EXPECT_EQ(db_.Query("SELECT string_agg(message, ' ' ORDER BY sequence) FROM curation.run_event "
                      "WHERE message <> 'RUNNING'"),
            "QUEUED import schema exact_duplicates label_conflicts near_duplicates split "
            "SUCCEEDED");
  EXPECT_EQ(db_.Query("SELECT max(sequence) - count(*) FROM curation.run_event"), "0");
}

TEST_F(ModuleTest, ARepeatedRequestGivesWhatTheFirstMadeWhateverHappenedSince) {
  const v1::File file = Upload(Rows(30));
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run, CreateRun(file.name(), kRequest8));
  run = Finished(run.name());
  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion sealed, Seal(run.name(), kRequest9));
  v1::DeleteFileRequest remove;
  remove.set_name(file.name());
  google::protobuf::Empty nothing;
  ASSERT_OK(Call(&v1::FileService::Stub::DeleteFile, *files_, remove, nothing));
  ASSERT_OK_AND_ASSIGN(const v1::CurationRun again, CreateRun(file.name(), kRequest8));
  EXPECT_EQ(again.name(), run.name());

  v1::ListRowsRequest list;
  list.set_parent(sealed.name());
  v1::ListRowsResponse rows;
  ASSERT_OK(Call(&v1::DatasetService::Stub::ListRows, *datasets_, list, rows));
  v1::ForgetRequest forget;
  forget.set_parent("projects/default");
  forget.mutable_tombstone()->set_row_digest(rows.rows(0).row_digest());
  v1::Tombstone tombstone;
  ASSERT_OK(Call(&v1::DatasetService::Stub::Forget, *datasets_, forget, tombstone));
  ASSERT_OK_AND_ASSIGN(const v1::DatasetVersion repeated, Seal(run.name(), kRequest9));
  EXPECT_EQ(repeated.name(), sealed.name());
  EXPECT_THAT(Seal(run.name(), kRequest8), HasReasonThat("REQUEST_ID_REUSED"));
}

TEST_F(ModuleTest, AWatchOfARunThatIsOverTellsItsEndAndCloses) {
  ASSERT_OK_AND_ASSIGN(const v1::CurationRun run, CreateRun(Upload(Rows(30)).name()));
  Finished(run.name());
  std::vector<std::string> told;
  Finished(run.name(), &told);
  EXPECT_THAT(told, ElementsAre("SUCCEEDED"));
}

TEST_F(ModuleTest, AWatchGoesOnWhereItsTokenSaysForSevenDays) {
  ASSERT_OK_AND_ASSIGN(v1::CurationRun run, CreateRun(Upload(Rows(30)).name()));
  run = Finished(run.name());
  // A long life: more events than are read at once.
  db_.Execute(
      "INSERT INTO curation.run_event (project, run, sequence, type, message, data) "
      "SELECT project, id, last_event + n, 'note', 'note', '{}' FROM curation.run, "
      "generate_series(1, 2500) AS n");
  const auto watch = [&](const std::string& token, std::string* last) {
    grpc::ClientContext context;
    v1::WatchCurationRunRequest request;
    request.set_name(run.name());
    request.set_resume_token(token);
    const auto reader = runs_->WatchCurationRun(&context, request);
    v1::WatchCurationRunResponse item;
    std::vector<int64_t> sequences;
    while (reader->Read(&item)) {
      if (item.has_event()) sequences.push_back(item.event().sequence());
      *last = item.resume_token();
    }
    return std::make_pair(rpc::FromGrpc(reader->Finish()), sequences);
  };
  const auto token_at = [&](int64_t sequence, absl::Duration age) {
    return list::MakePageToken(
        absl::StrCat(sequence, "/", absl::ToUnixSeconds(SystemClock().Now() - age)),
        "watch|" + run.name().substr(run.name().rfind('/') + 1));
  };
  std::string last;
  const auto all = watch(token_at(2, absl::Hours(24)), &last);
  EXPECT_OK(all.first);
  ASSERT_EQ(all.second.size(), 2507u);
  for (size_t i = 0; i < all.second.size(); ++i)
    ASSERT_EQ(all.second[i], static_cast<int64_t>(i) + 3);
  const auto rest = watch(last, &last);
  EXPECT_OK(rest.first);
  EXPECT_EQ(rest.second.size(), 0u);
  EXPECT_THAT(watch(token_at(2, absl::Hours(24 * 8)), &last).first,
              HasReasonThat("RESUME_TOKEN_EXPIRED"));
  EXPECT_THAT(watch("nonsense", &last).first, HasReasonThat("PAGE_TOKEN_INVALID"));
}

TEST_F(ModuleTest, BytesWithAnotherDigestAreThrownAwayAndMayBeSentAnew) {
  const std::string text = Rows(20);
  v1::File file = CreateFile();
  const std::string wrong = "sha256:" + std::string(64, '0');
  const absl::Status refused = Send(file.name(), 0, text, true, file, wrong);
  EXPECT_THAT(refused, HasReasonThat("DIGEST_MISMATCH"));
  EXPECT_THAT(refused.ToString(), HasSubstr("from offset 0"));
  ASSERT_OK(Send(file.name(), 0, text, true, file, DigestOf(text)));
  EXPECT_EQ(file.state(), v1::File::READY);
}

TEST_F(ModuleTest, WhatIsNotServedYetSaysSo) {
  v1::ListGenerationsRequest request;
  request.set_parent("projects/default");
  v1::ListGenerationsResponse response;
  EXPECT_THAT(Call(&v1::CurationService::Stub::ListGenerations, *runs_, request, response),
              HasReasonThat("NOT_IMPLEMENTED"));
}

}  // namespace
}  // namespace crossover::curation
