// registry.v1.TaskService.
#pragma once

#include "common/rpc/handler.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"
#include "services/registry/transport/documents.h"
#include "services/registry/transport/unary.h"

namespace crossover::registry {

// Borrows everything.
class TaskServiceImpl final : public v1::TaskService::CallbackService {
 public:
  TaskServiceImpl(rpc::Handler& handler, RegistryStore& store)
      : handler_(handler),
        store_(store),
        tasks_(store, Kind::kTask, "ACTIVE", {"state", "owner", "labels.*"}) {}

  CROSSOVER_UNARY(CreateTask, v1::CreateTaskRequest, v1::Task)
  CROSSOVER_UNARY(GetTask, v1::GetTaskRequest, v1::Task)
  CROSSOVER_UNARY(ListTasks, v1::ListTasksRequest, v1::ListTasksResponse)
  CROSSOVER_UNARY(UpdateTask, v1::UpdateTaskRequest, v1::Task)
  CROSSOVER_UNARY(ArchiveTask, v1::ArchiveTaskRequest, v1::Task)
  CROSSOVER_UNARY(DiagnoseTask, v1::DiagnoseTaskRequest, v1::DiagnoseTaskResponse)

 private:
  // The version that the request names, or the active (else newest) one of the task's only prompt;
  // nullopt if there is none.
  absl::StatusOr<std::optional<PromptVersion>> VersionFor(const ResourceKey& task,
                                                          const v1::DiagnoseTaskRequest& request);

  rpc::Handler& handler_;
  RegistryStore& store_;
  Documents<v1::Task> tasks_;
};

}  // namespace crossover::registry
