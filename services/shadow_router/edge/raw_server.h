// Servers without manners, for tests.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace crossover::router {

// A listening socket on loopback and its port.
inline int ListenOnLoopback(int& port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(listener, 64), 0);
  EXPECT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port = ntohs(address.sin_port);
  return listener;
}

inline std::string BaseUrl(int port) { return "http://127.0.0.1:" + std::to_string(port) + "/v1"; }

// Does `on_connection` with each connection in turn; connections stay open until it is destroyed.
class RawServer {
 public:
  explicit RawServer(std::function<void(int fd)> on_connection)
      : on_connection_(std::move(on_connection)), listener_(ListenOnLoopback(port_)) {
    thread_ = std::thread([this] {
      int fd = -1;
      while ((fd = accept(listener_, nullptr, nullptr)) >= 0) {
        on_connection_(fd);
        const std::lock_guard lock(mutex_);
        connections_.push_back(fd);
      }
    });
  }
  ~RawServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    for (int fd : connections_) close(fd);
  }
  std::string base_url() const { return BaseUrl(port_); }

  // Whether the client of the first connection closes it within ten seconds.
  bool WaitForHangUp() {
    for (int i = 0; i < 1'000; ++i) {
      std::unique_lock lock(mutex_);
      if (!connections_.empty()) {
        pollfd wanted{.fd = connections_.front(), .events = POLLIN | POLLRDHUP, .revents = 0};
        lock.unlock();
        if (poll(&wanted, 1, 10) > 0 && (wanted.revents & (POLLRDHUP | POLLHUP)) != 0) return true;
        continue;
      }
      lock.unlock();
      (void)poll(nullptr, 0, 10);
    }
    return false;
  }

 private:
  std::function<void(int)> on_connection_;
  int port_ = 0;
  int listener_ = -1;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<int> connections_;
};

// Reads a little of the request and answers with these bytes.
inline std::function<void(int)> Saying(std::string bytes) {
  return [bytes = std::move(bytes)](int fd) {
    char buffer[4096];
    (void)!read(fd, buffer, sizeof buffer);
    (void)send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  };
}

// The head of a stream that ends with its connection.
inline constexpr char kStreamHead[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

// A process that takes connections and is then stopped: the kernel goes on accepting for it.
class StoppedProcess {
 public:
  StoppedProcess() {
    const int listener = ListenOnLoopback(port_);
    pid_ = fork();
    EXPECT_GE(pid_, 0);
    // The child makes system calls only: it is a copy of a process with threads.
    while (pid_ == 0) (void)accept(listener, nullptr, nullptr);
    close(listener);
    EXPECT_EQ(kill(pid_, SIGSTOP), 0);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    EXPECT_TRUE(WIFSTOPPED(status));
  }
  ~StoppedProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::string base_url() const { return BaseUrl(port_); }

 private:
  int port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace crossover::router
