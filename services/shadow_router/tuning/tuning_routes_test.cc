// /v1/files, /v1/uploads and /v1/fine_tuning over real HTTP and real gRPC, against services in
// memory.
#include "services/shadow_router/tuning/tuning_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cerrno>

#include <nlohmann/json.hpp>

#include "common/http/client.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "services/shadow_router/tuning/fake_services.h"
#include "services/shadow_router/tuning/file_transfer.h"
#include "services/shadow_router/tuning/scheduler_models.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

class TuningRoutesTest : public ::testing::Test {
 protected:
  TuningRoutesTest() {
    grpc::ServerBuilder builder;
    for (grpc::Service* service :
         std::initializer_list<grpc::Service*>{&files_, &datasets_, &runs_, &jobs_, &models_}) {
      builder.RegisterService(service);
    }
    grpc_ = builder.BuildAndStart();
    const auto channel = grpc_->InProcessChannel({});
    backend_ = std::make_unique<TuningBackend>(channel, channel, SystemClock());
    routes_ = std::make_unique<TuningRoutes>(TuningRoutesOptions{.max_file_bytes = 1000}, door_,
                                             *backend_);
    AddTuningRoutes(http_, *routes_);
    EXPECT_OK(http_.Start());
  }
  ~TuningRoutesTest() override {
    http_.Stop();
    grpc_->Shutdown();
  }

  struct Answer {
    int status = 0;
    std::string text;
    Json json;
  };

  Answer Send(const std::string& method, const std::string& path, const std::string& body = "",
              const std::string& type = "application/json") {
    http::ClientRequest request{.method = method,
                                .url = "http://127.0.0.1:" + std::to_string(http_.port()) + path,
                                .body = body};
    request.headers.Set("content-type", type);
    const auto response = client_.Send(std::move(request));
    EXPECT_OK(response);
    return {response->status, response->body,
            Json::parse(response->body, nullptr, /*allow_exceptions=*/false)};
  }
  Answer Post(const std::string& path, const Json& body) { return Send("POST", path, body.dump()); }

  // As Node's SDK sends it: the file first.
  Answer Upload(const std::string& path, const std::string& field, const std::string& bytes,
                const std::map<std::string, std::string>& fields) {
    std::string body = "--b\r\nContent-Disposition: form-data; name=\"" + field +
                       "\"; filename=\"rows.jsonl\"\r\nContent-Type: text/plain\r\n\r\n" + bytes +
                       "\r\n";
    for (const auto& [name, value] : fields) {
      body +=
          "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
    }
    return Send("POST", path, body + "--b--\r\n", "multipart/form-data; boundary=b");
  }
  std::string AddFile(const std::string& bytes = "{}\n") {
    const Answer answer = Upload("/v1/files", "file", bytes, {{"purpose", "fine-tune"}});
    EXPECT_EQ(answer.status, 200) << answer.text;
    return answer.json["id"];
  }
  Answer CreateJob(Json extra = Json::object()) {
    Json body = {{"model", "smollm2"}, {"training_file", AddFile()}};
    body.update(extra);
    return Post("/v1/fine_tuning/jobs", body);
  }
  std::string JobPath(const std::string& rest = "") {
    return "/v1/fine_tuning/jobs/ftjob-06bq3f00000000000000000000" + rest;
  }

  FakeLogger logger_;
  FakeFiles files_;
  FakeDatasets datasets_;
  FakeCurationRuns runs_;
  FakeTuningJobs jobs_;
  FakeTuningModels models_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<TuningBackend> backend_;
  EveryoneIs callers_{Caller{.name = "test"}};
  KeyMeter meter_{SystemClock()};
  Door door_{callers_, meter_};
  std::unique_ptr<TuningRoutes> routes_;
  http::Server http_{{}, logger_};
  http::Client client_;
};

TEST_F(TuningRoutesTest, AFileIsTakenListedReadBackAndDeleted) {
  const Answer created = Upload("/v1/files", "file", "{\"a\": 1}\r\n",
                                {{"purpose", "fine-tune"},
                                 {"expires_after[anchor]", "created_at"},
                                 {"expires_after[seconds]", "3600"}});
  ASSERT_EQ(created.status, 200) << created.text;
  const std::string id = created.json["id"];
  EXPECT_EQ(created.json["object"], "file");
  EXPECT_EQ(created.json["bytes"], 10);
  EXPECT_EQ(created.json["filename"], "rows.jsonl");
  EXPECT_EQ(created.json["purpose"], "fine-tune");
  EXPECT_EQ(created.json["status"], "processed");
  EXPECT_GT(created.json["expires_at"], absl::ToUnixSeconds(SystemClock().Now()) + 3500);
  EXPECT_EQ(Send("GET", "/v1/files/" + id).json, created.json);
  EXPECT_EQ(Send("GET", "/v1/files/" + id + "/content").text, "{\"a\": 1}\r\n");
  EXPECT_EQ(Send("GET", "/v1/files?purpose=fine-tune").json["data"].size(), 1u);
  EXPECT_EQ(Send("GET", "/v1/files?purpose=evals").json["data"].size(), 0u);
  EXPECT_EQ(Send("DELETE", "/v1/files/" + id).json,
            Json({{"id", id}, {"object", "file"}, {"deleted", true}}));
  const Answer gone = Send("GET", "/v1/files/" + id);
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(gone.json["error"].size(), 4u);
}

TEST_F(TuningRoutesTest, AFormThatIsWrongIsSaidSo) {
  EXPECT_EQ(Upload("/v1/files", "file", "x", {}).json["error"]["param"], "purpose");
  EXPECT_EQ(Upload("/v1/files", "file", "x", {{"purpose", "batch"}}).status, 400);
  EXPECT_EQ(Upload("/v1/files", "fil", "x", {{"purpose", "evals"}}).json["error"]["param"], "file");
  EXPECT_EQ(Upload("/v1/files", "file", "x",
                   {{"purpose", "evals"},
                    {"expires_after[anchor]", "created_at"},
                    {"expires_after[seconds]", "60"}})
                .json["error"]["param"],
            "expires_after");
  EXPECT_EQ(Upload("/v1/files", "file", std::string(1001, 'x'), {{"purpose", "evals"}}).status,
            413);
  EXPECT_EQ(Send("POST", "/v1/files", "{}").status, 400);
  EXPECT_TRUE(files_.entries.empty());
}

TEST_F(TuningRoutesTest, AnUploadThatCannotBeKeptSaysWhyAndMakesNoFile) {
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 1;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Answer answer = Upload("/v1/files", "file", "{}\n", {{"purpose", "fine-tune"}});
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.text, HasSubstr("cannot keep the upload"));
  EXPECT_TRUE(files_.entries.empty());
}

TEST(UploadNotKeptTest, OnlyAFullDiskIsCalledOneAndSaysWhatToDo) {
  EXPECT_THAT(UploadNotKept(ENOSPC), HasReasonThat("DISK_FULL"));
  EXPECT_THAT(UploadNotKept(ENOSPC).ToString(),
              HasSubstr("No space left on device; free some space there, then send it again"));
  EXPECT_THAT(UploadNotKept(EMFILE), HasReasonThat("FILE_WRITE_FAILED"));
  EXPECT_THAT(UploadNotKept(EMFILE).ToString(), HasSubstr("Too many open files"));
}

TEST_F(TuningRoutesTest, AnUploadIsPutTogetherInTheOrderThatIsAskedFor) {
  const Answer upload = Post("/v1/uploads", {{"bytes", 6},
                                             {"filename", "big.jsonl"},
                                             {"mime_type", "text/jsonl"},
                                             {"purpose", "fine-tune"}});
  ASSERT_EQ(upload.status, 200) << upload.text;
  EXPECT_EQ(upload.json["status"], "pending");
  EXPECT_TRUE(upload.json["file"].is_null());
  const std::string path = "/v1/uploads/" + upload.json["id"].get<std::string>();
  const Answer second = Upload(path + "/parts", "data", "def", {});
  const Answer first = Upload(path + "/parts", "data", "abc", {});
  EXPECT_EQ(first.json["object"], "upload.part");
  EXPECT_EQ(first.json["upload_id"], upload.json["id"]);
  EXPECT_EQ(Send("GET", "/v1/files").json["data"].size(), 0u);  // nothing is a file yet

  const Json ids = Json::array({first.json["id"], second.json["id"]});
  EXPECT_THAT(Post(path + "/complete", {{"part_ids", {first.json["id"]}}}).text,
              HasSubstr("3 bytes together, but 6 were announced"));
  EXPECT_EQ(Post(path + "/complete", {{"part_ids", ids}, {"md5", std::string(32, '0')}})
                .json["error"]["param"],
            "md5");
  const Answer done =
      Post(path + "/complete", {{"part_ids", ids}, {"md5", "e80b5017098950fc58aad83c8c14978e"}});
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_EQ(done.json["status"], "completed");
  const std::string file = done.json["file"]["id"];
  EXPECT_EQ(Send("GET", "/v1/files/" + file + "/content").text, "abcdef");
  EXPECT_EQ(files_.entries.size(), 1u);  // the parts are gone
  EXPECT_EQ(Post(path + "/cancel", Json::object()).status, 400);
}

TEST_F(TuningRoutesTest, AJobIsCreatedFromItsFilesAndShownAsAskedFor) {
  const std::string validation = AddFile();
  const Answer created = CreateJob(
      {{"validation_file", validation},
       {"suffix", "acme"},
       {"metadata", {{"team", "legal"}}},
       {"method",
        {{"type", "supervised"}, {"supervised", {{"hyperparameters", {{"n_epochs", 2}}}}}}}});
  ASSERT_EQ(created.status, 200) << created.text;
  EXPECT_EQ(created.json["status"], "queued");
  EXPECT_EQ(created.json["validation_file"], validation);
  EXPECT_EQ(created.json["hyperparameters"]["n_epochs"], 2);
  EXPECT_EQ(jobs_.created.job().dataset_version(),
            "projects/default/datasets/openai-files/versions/sha256:1");
  EXPECT_EQ(runs_.created.curation_run().inputs(0).split(), "train");
  EXPECT_EQ(runs_.created.curation_run().inputs(1).split(), "validation");
  EXPECT_EQ(Send("GET", JobPath()).json, created.json);
  EXPECT_EQ(Send("GET", "/v1/fine_tuning/jobs?metadata[team]=legal").json["data"].size(), 1u);
  EXPECT_EQ(Send("GET", "/v1/fine_tuning/jobs?metadata[team]=ops").json["data"].size(), 0u);
  EXPECT_EQ(Send("GET", "/v1/fine_tuning/jobs?limit=0").json["error"]["param"], "limit");
  EXPECT_EQ(Send("POST", JobPath("/pause")).json["status"], "paused");
  EXPECT_EQ(Send("POST", JobPath("/resume")).json["status"], "queued");
  EXPECT_EQ(Send("POST", JobPath("/cancel")).json["status"], "cancelled");
  EXPECT_EQ(Send("GET", "/v1/fine_tuning/jobs/ftjob-nonsense").status, 404);
}

TEST_F(TuningRoutesTest, WhatIsWrongWithTheRowsNamesFileLineAndField) {
  curation_pb::Problem problem;
  problem.set_line(536);
  problem.set_severity(curation_pb::Problem::ERROR);
  problem.set_message("line 536: messages[2].tool_calls[0].function.arguments is not valid JSON");
  files_.next_problems = {problem, problem};
  const Answer lines = CreateJob();
  EXPECT_EQ(lines.status, 400);
  EXPECT_EQ(lines.json["error"]["param"], "training_file");
  EXPECT_EQ(lines.json["error"]["message"],
            "training_file: rows.jsonl line 536: messages[2].tool_calls[0].function.arguments is "
            "not valid JSON (and 1 more)");
  files_.next_problems.clear();

  files_.row_count = 9;
  EXPECT_THAT(CreateJob().text, HasSubstr("has 9 rows; at least 10 are needed"));
  files_.row_count = 10;
  EXPECT_THAT(CreateJob({{"method", {{"type", "dpo"}}}}).text, HasSubstr("no preference rows"));
  files_.format = curation_pb::File::PREFERENCE_JSONL;
  EXPECT_THAT(CreateJob().text, HasSubstr("they need method dpo"));
  EXPECT_EQ(CreateJob({{"method", {{"type", "dpo"}}}}).status, 200);
  EXPECT_EQ(jobs_.created.job().kind(), scheduler_pb::Job::PREFERENCE);
  EXPECT_EQ(
      CreateJob({{"training_file", "file-06bq3f00000000000000000000"}}).json["error"]["param"],
      "training_file");
}

TEST_F(TuningRoutesTest, AFileWithALineThatCannotBeReadSaysSoWhereverItIsShown) {
  curation_pb::Problem problem;
  problem.set_line(2);
  problem.set_severity(curation_pb::Problem::WARNING);
  problem.set_message("line 2: nothing reads the key 'extra'");
  files_.next_problems = {problem};
  EXPECT_EQ(Send("GET", "/v1/files/" + AddFile()).json["status"], "processed");
  files_.next_problems = {problem, problem};  // a page of warnings
  problem.set_line(5);
  problem.set_severity(curation_pb::Problem::ERROR);
  problem.set_message("line 5: is not valid JSON");
  files_.next_problems.push_back(problem);
  const Answer answer = Upload("/v1/files", "file", "{", {{"purpose", "fine-tune"}});
  EXPECT_EQ(answer.status, 200) << answer.text;
  EXPECT_EQ(answer.json["status"], "error");
  EXPECT_EQ(answer.json["status_details"], "line 5: is not valid JSON");
  EXPECT_EQ(Send("GET", "/v1/files/" + answer.json["id"].get<std::string>()).json, answer.json);
  const Json list = Send("GET", "/v1/files?order=asc").json["data"];
  EXPECT_EQ(list.at(0)["status"], "processed");
  EXPECT_EQ(list.at(1), answer.json);
}

TEST_F(TuningRoutesTest, OverlappingFilesAreRefusedWithTheirLines) {
  (*runs_.end.add_funnel()->mutable_dropped())["leaks_into_validation"] = 1;
  curation_pb::Row row;
  row.mutable_origin()->set_line(3);
  row.set_drop_reason("exact_duplicates/leaks_into_validation");
  datasets_.rows = {row};
  const Answer overlap = CreateJob({{"validation_file", AddFile()}});
  EXPECT_EQ(overlap.status, 400);
  EXPECT_EQ(overlap.json["error"]["param"], "validation_file");
  EXPECT_THAT(overlap.json["error"]["message"],
              HasSubstr("line 3 of the training file also stand"));
  runs_.end.Clear();
  runs_.end.set_state(curation_pb::CurationRun::FAILED);
  runs_.end.set_error_reason("TOO_FEW_ROWS");
  runs_.end.set_state_reason("9 rows are left of 12 (dropped: duplicate 3)");
  const Answer few = CreateJob();
  EXPECT_EQ(few.json["error"]["code"], "too_few_rows");
  EXPECT_THAT(few.text, HasSubstr("9 rows are left of 12"));
}

TEST_F(TuningRoutesTest, TheSchedulersRefusalIsTranslated) {
  jobs_.refuse = rpc::ToGrpc(Error(absl::StatusCode::kInvalidArgument, "base_model is unknown",
                                   {.reason = "BASE_MODEL_UNKNOWN",
                                    .metadata = {},
                                    .violations = {{"base_model", "is unknown"}}}));
  const Answer refused = CreateJob();
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json["error"]["param"], "model");
  EXPECT_EQ(refused.json["error"]["code"], "base_model_unknown");
  EXPECT_EQ(refused.json["error"]["message"], "model is unknown");
}

TEST_F(TuningRoutesTest, ATunedModelIsTrainedOn) {
  ASSERT_EQ(CreateJob({{"model", FakeTuningModels::kAlias}}).status, 200);
  EXPECT_EQ(jobs_.created.job().base_model(), "sha256:base");
  EXPECT_EQ(jobs_.created.job().spec().training().initial_adapter(), "sha256:ad");
  EXPECT_EQ(CreateJob({{"model", "ft:none"}}).json["error"]["param"], "model");
}

TEST_F(TuningRoutesTest, EventsCheckpointsAndResultsOfAJob) {
  ASSERT_EQ(CreateJob().status, 200);
  jobs_.job.set_state(scheduler_pb::Job::SUCCEEDED);
  scheduler_pb::MetricPoint point;
  point.set_step(1);
  point.set_train_loss(2.5);
  point.mutable_time()->set_seconds(5);
  jobs_.points = {point};
  scheduler_pb::Checkpoint checkpoint;
  checkpoint.set_step(1);
  checkpoint.set_adapter_digest("sha256:step1");
  jobs_.checkpoints = {checkpoint};
  const Answer events = Send("GET", JobPath("/events?limit=1"));
  EXPECT_EQ(events.json["data"][0]["type"], "metrics");
  EXPECT_EQ(events.json["has_more"], true);
  const std::string last = events.json["last_id"];
  EXPECT_EQ(Send("GET", JobPath("/events?after=" + last)).json["data"][0]["message"], "created");
  const Answer checkpoints = Send("GET", JobPath("/checkpoints"));
  EXPECT_EQ(checkpoints.json["data"][0]["step_number"], 1);

  const std::string results = Send("GET", JobPath()).json["result_files"][0];
  EXPECT_EQ(Send("GET", "/v1/files/" + results).json["purpose"], "fine-tune-results");
  EXPECT_EQ(Send("GET", "/v1/files/" + results + "/content").text,
            "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,2.5,,,\n");

  SchedulerModels models(*backend_);
  const std::string callable = checkpoints.json["data"][0]["fine_tuned_model_checkpoint"];
  EXPECT_THAT(models.Find("projects/default", callable), IsOkAndHolds(std::string("sha256:step1")));
  EXPECT_THAT(
      models.Find("projects/default", absl::StrCat(FakeTuningModels::kAlias, ":ckpt-step-1")),
      IsOkAndHolds(std::string("sha256:step1")));
  EXPECT_THAT(
      models.Find("projects/default", absl::StrCat(FakeTuningModels::kAlias, ":ckpt-step-2")),
      HasReasonThat("MODEL_NOT_FOUND"));
}

TEST_F(TuningRoutesTest, ModelsAreFoundOnceListedAndDeleted) {
  SchedulerModels models(*backend_);
  EXPECT_THAT(models.Find("projects/default", "smollm2"), IsOkAndHolds(std::string("smollm2")));
  EXPECT_THAT(models.Find("projects/default", "smollm2"), IsOkAndHolds(std::string("smollm2")));
  EXPECT_EQ(models_.asked, 1);
  EXPECT_THAT(models.Find("projects/default", "gpt-9"), HasReasonThat("MODEL_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(std::vector<LocalModelInfo> listed, models.List("projects/default"));
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].id, FakeTuningModels::kAlias);
  EXPECT_EQ(listed[1].id, "smollm2");
  EXPECT_OK(models.Find("projects/default", FakeTuningModels::kAlias));
  EXPECT_OK(models.Delete("projects/default", FakeTuningModels::kAlias));
  EXPECT_EQ(models_.deleted, "projects/default/models/smollm2-acme/versions/sha256:ad");
  EXPECT_THAT(models.Find("projects/default", FakeTuningModels::kAlias),
              HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(models.Delete("projects/default", "smollm2"), HasReasonThat("RESOURCE_FORBIDDEN"));
}

}  // namespace
}  // namespace crossover::router
