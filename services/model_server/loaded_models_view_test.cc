// Who sees what is in memory.
#include "services/model_server/module_fixture.h"

namespace crossover::inference {
namespace {

// Without a key ADMIN of all; with one, VIEWER of the project that it names.
class ViewerOfAProject final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Principal> Authenticate(std::string_view authorization,
                                              std::string_view) override {
    if (authorization.empty()) return rpc::Principal{.name = "own", .role = rpc::Role::kAdmin};
    return rpc::Principal{.name = "viewer",
                          .project = std::string(authorization.substr(sizeof("Bearer ") - 1)),
                          .role = rpc::Role::kViewer};
  }
};

class LoadedModelsViewTest : public ModuleTest {
 protected:
  absl::StatusOr<pb::ListLoadedModelsResponse> ListWith(const std::string& key) {
    return rpc::Invoke(*stub_, &pb::InferenceService::Stub::ListLoadedModels, {}, {.api_key = key});
  }

  ViewerOfAProject keys_;
};

TEST_F(LoadedModelsViewTest, DigestsAreForKeysOfTheServersOwnProject) {
  authenticator_ = &keys_;
  Start({.project = "projects/a"});
  pb::LoadAdapterRequest load;
  load.set_digest(Adapter("one", base_));
  ASSERT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::LoadAdapter, load));
  ASSERT_OK_AND_ASSIGN(const pb::ListLoadedModelsResponse all, ListWith(""));
  EXPECT_EQ(all.loaded_models_size(), 2);
  ASSERT_OK_AND_ASSIGN(const pb::ListLoadedModelsResponse own, ListWith("projects/a"));
  EXPECT_EQ(own.loaded_models_size(), 2);
  ASSERT_OK_AND_ASSIGN(const pb::ListLoadedModelsResponse other, ListWith("projects/b"));
  EXPECT_EQ(other.loaded_models_size(), 0);
  EXPECT_EQ(other.weight_bytes(), all.weight_bytes());
}

}  // namespace
}  // namespace crossover::inference
