// Refuses protos whose methods do not say who may call them, what they do, or how HTTP reaches
// them. Run by the build on the descriptor set that protoc makes of all files: check_protos SET
// STAMP
//
// The access option is what transport authorises by, so a method without one must not build
// (docs/ARCHITECTURE.md, access).
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include "crossover/type/v1/access.pb.h"
#include "google/api/annotations.pb.h"

namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::SourceLocation;

// Services that only Crossover's own processes call, over gRPC alone.
bool IsInternal(const MethodDescriptor& method) {
  const std::string& service = method.service()->full_name();
  return service == "crossover.scheduler.v1.LeaseService" ||
         service == "crossover.worker.v1.WorkerService";
}

// What is wrong with a method; empty = nothing.
std::vector<std::string> ProblemsOf(const MethodDescriptor& method) {
  std::vector<std::string> problems;
  SourceLocation location;
  if (!method.GetSourceLocation(&location) || location.leading_comments.empty())
    problems.push_back("has no comment");
  if (method.options().GetExtension(crossover::type::v1::access).role() ==
      crossover::type::v1::ROLE_UNSPECIFIED) {
    problems.push_back("has no (crossover.type.v1.access).role");
  }
  if (!IsInternal(method) && !method.options().HasExtension(google::api::http))
    problems.push_back("has no google.api.http");
  return problems;
}

int Check(const FileDescriptor& file) {
  int problems = 0;
  for (int s = 0; s < file.service_count(); ++s) {
    for (int m = 0; m < file.service(s)->method_count(); ++m) {
      const MethodDescriptor& method = *file.service(s)->method(m);
      SourceLocation location;
      method.GetSourceLocation(&location);
      for (const std::string& problem : ProblemsOf(method)) {
        std::cerr << file.name() << ':' << location.start_line + 1 << ": " << method.full_name()
                  << ' ' << problem << '\n';
        ++problems;
      }
    }
  }
  return problems;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: check_protos DESCRIPTOR_SET STAMP\n";
    return 2;
  }
  google::protobuf::FileDescriptorSet set;
  std::ifstream input(argv[1], std::ios::binary);
  if (!set.ParseFromIstream(&input)) {
    std::cerr << "check_protos: " << argv[1] << " is not a descriptor set\n";
    return 1;
  }
  google::protobuf::DescriptorPool pool;
  int problems = 0;
  for (const auto& proto : set.file()) {  // Imports come before their importers.
    const FileDescriptor* file = pool.BuildFile(proto);
    if (file == nullptr) return 1;
    if (file->package().rfind("crossover.", 0) == 0) problems += Check(*file);
  }
  if (problems > 0) return 1;
  return std::ofstream(argv[2]) << set.file_size() << " files\n" ? 0 : 1;
}
