// Bytes of files between HTTP and data_curation.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/http/server.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {

// A form with one file in it. The file's bytes are on disk, in a file without a name that ends with
// this object: fields may follow the file they are about.
struct UploadedForm {
  std::map<std::string, std::string> fields;
  std::string filename;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{nullptr, &std::fclose};
  int64_t size = 0;
};

// An upload that cannot be put on the router's disk, by errno: RESOURCE_EXHAUSTED `DISK_FULL` with
// what to do when there is no room, else UNAVAILABLE `FILE_WRITE_FAILED`.
absl::Status UploadNotKept(int error);

// Reads the request's multipart/form-data body. INVALID_ARGUMENT: no form, no field `file_field`,
// FILE_TOO_LARGE. As UploadNotKept when the file cannot be put on disk.
absl::StatusOr<UploadedForm> ReadUpload(http::Exchange& exchange, const std::string& file_field,
                                        size_t max_bytes);

// Sends bytes to a file in state UPLOADING; Finish ends it. Used by one thread.
class FileWriter {
 public:
  // The file is empty so far. `backend` outlives this.
  FileWriter(TuningBackend& backend, const std::string& name);

  // CANCELLED-shaped errors of the stream come with Finish; false: there is one.
  bool Write(std::string_view bytes);
  // Nothing follows: the file as it is after validation.
  absl::StatusOr<curation_pb::File> Finish();

 private:
  grpc::ClientContext context_;
  curation_pb::File result_;
  std::unique_ptr<grpc::ClientWriter<curation_pb::UploadFileRequest>> writer_;
  std::string name_;  // until it has been sent
};

// Creates a file and sends it all bytes of `form`. If that fails the file is deleted: the client
// sends it again, as a file of its own. An error says so if it could not be deleted.
absl::StatusOr<curation_pb::File> StoreUpload(TuningBackend& backend,
                                              const curation_pb::CreateFileRequest& create,
                                              UploadedForm& form);

// Calls `take` with the file's bytes in pieces, until it returns an error.
absl::Status ReadFile(TuningBackend& backend, const std::string& name,
                      const std::function<absl::Status(std::string_view)>& take);

}  // namespace crossover::router
