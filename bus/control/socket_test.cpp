// Proves what a connection promises: messages and descriptors arrive whole, in order and close-on-exec; nothing blocks;
// a socket file is replaced only when nobody can answer there.
#include "bus/control/socket.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>

#include "bus/base/temporary_folder.hpp"
#include "bus/control/testing.hpp"

namespace millrace::control {
namespace {

struct Pair {
  Pair() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()), 0);
    left.emplace(UniqueFd(fds[0]));
    right.emplace(UniqueFd(fds[1]));
  }
  std::optional<Connection> left, right;
};

MessageT numbered(std::uint64_t number, std::size_t padding = 0) {
  ErrorAnswerT body;
  body.message = std::string(padding, '.');
  return make_message(std::move(body), number);
}

TEST(ControlConnection, DescriptorsArriveAsTheSameFileAndCloseOnExec) {
  Pair pair;
  const auto sent = make_memfd("sent", 4096);
  ASSERT_TRUE(sent);
  const std::array<int, 1> fds{sent->get()};
  ASSERT_EQ(pair.left->send(numbered(1), fds), SendStatus::ok);
  const auto received = pair.right->receive();
  ASSERT_TRUE(received && received->packet);
  ASSERT_EQ(received->packet->fds.size(), 1u);
  const int fd = received->packet->fds[0].get();
  struct stat a {
  }, b{};
  ASSERT_EQ(::fstat(sent->get(), &a), 0);
  ASSERT_EQ(::fstat(fd, &b), 0);
  EXPECT_EQ(a.st_ino, b.st_ino);
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST(ControlConnection, QueuedDescriptorsOutliveTheSendersOwn) {
  Pair pair;
  std::uint64_t sent = 0;
  while (!pair.left->has_queued()) ASSERT_EQ(pair.left->send(numbered(++sent, 8192)), SendStatus::ok);
  {
    const auto file = make_memfd("short-lived", 4096);
    const std::array<int, 1> fds{file->get()};
    ASSERT_EQ(pair.left->send(numbered(++sent), fds), SendStatus::ok);
  }
  for (std::uint64_t number = 1; number <= sent; ++number) {
    const auto received = pair.right->receive();
    ASSERT_TRUE(received && received->packet) << number;
    EXPECT_EQ(decode(received->packet->bytes)->correlation, number);
    EXPECT_EQ(received->packet->fds.size(), number == sent ? 1u : 0u);
    ASSERT_EQ(pair.left->flush(), SendStatus::ok);
  }
}

TEST(ControlConnection, APeerThatDoesNotReadOverflowsItsQueueAndBlocksNobody) {
  Pair pair;
  SendStatus status = SendStatus::ok;
  std::uint64_t sent = 0;
  while (status == SendStatus::ok && sent < 1'000'000) status = pair.left->send(numbered(++sent));
  EXPECT_EQ(status, SendStatus::overflow);
}

TEST(ControlConnection, AMessageBeyondTheLimitIsNotSentAndTheNextOneIs) {
  Pair pair;
  EXPECT_EQ(pair.left->send(numbered(1, message_size_max)), SendStatus::too_large);
  EXPECT_EQ(pair.left->send(numbered(2, message_size_max - 256)), SendStatus::ok);
  const auto received = pair.right->receive();
  ASSERT_TRUE(received && received->packet);
  EXPECT_EQ(decode(received->packet->bytes)->correlation, 2u);
}

TEST(ControlConnection, TooManyDescriptorsAreAnErrorAndNoneIsKept) {
  Pair pair;
  const std::size_t before = testing::open_descriptors();
  testing::send_raw(pair.left->fd(), "x", 20);
  const auto received = pair.right->receive();
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, millrace::ErrorCode::too_large);
  EXPECT_EQ(testing::open_descriptors(), before);
}

TEST(ControlConnection, WhatThePeerSentBeforeItClosedIsReadFirstEvenIfItLeftSomethingUnread) {
  Pair pair;
  ASSERT_EQ(pair.right->send(numbered(1)), SendStatus::ok);  // never read
  ASSERT_EQ(pair.left->send(numbered(2)), SendStatus::ok);
  pair.left.reset();
  const auto last = pair.right->receive();
  ASSERT_TRUE(last && last->packet);
  EXPECT_EQ(decode(last->packet->bytes)->correlation, 2u);
  const auto end = pair.right->receive();
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->closed);
  EXPECT_EQ(pair.right->send(numbered(3)), SendStatus::closed);  // and no SIGPIPE
}

TEST(ControlConnection, NothingToReadIsNotTheEnd) {
  Pair pair;
  const auto received = pair.right->receive();
  ASSERT_TRUE(received);
  EXPECT_FALSE(received->packet);
  EXPECT_FALSE(received->closed);
}

class ControlListener : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/core.sock";
};

TEST_F(ControlListener, AnAcceptedConnectionKnowsItsPeerAndTheSenderOfEachPacket) {
  auto listener = Listener::bind(path_, 0600);
  ASSERT_TRUE(listener) << listener.error().message;
  auto client = Connection::connect(path_);
  ASSERT_TRUE(client);
  ASSERT_EQ(client->send(numbered(1)), SendStatus::ok);
  auto accepted = listener->accept();
  ASSERT_TRUE(accepted && *accepted);
  EXPECT_EQ((*accepted)->peer().pid, ::getpid());
  EXPECT_EQ((*accepted)->peer().uid, ::getuid());
  EXPECT_TRUE((*accepted)->peer_pidfd());
  EXPECT_NE(::fcntl((*accepted)->fd(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(client->fd(), F_GETFD) & FD_CLOEXEC, 0);
  const auto received = (*accepted)->receive();
  ASSERT_TRUE(received && received->packet);
  EXPECT_EQ(received->sender, ::getpid());
}

TEST_F(ControlListener, AnEmptyPacketIsNotTheEndOfTheConnection) {
  auto listener = Listener::bind(path_, 0600);
  auto client = Connection::connect(path_);
  auto accepted = listener->accept();
  ASSERT_TRUE(accepted && *accepted);
  testing::send_raw(client->fd(), "", 0);
  const auto empty = (*accepted)->receive();
  ASSERT_TRUE(empty && empty->packet);
  EXPECT_TRUE(empty->packet->bytes.empty());
  client = fail(millrace::ErrorCode::disconnected, "closed");
  EXPECT_TRUE((*accepted)->receive()->closed);
}

TEST_F(ControlListener, ThePathHasTheModeAskedForAndGoesWithItsListener) {
  {
    auto listener = Listener::bind(path_, 0640);
    ASSERT_TRUE(listener);
    struct stat file {};
    ASSERT_EQ(::stat(path_.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777u, 0640u);
  }
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
  EXPECT_FALSE(Connection::connect(path_));
}

TEST_F(ControlListener, ASecondOneIsRefusedAndTheFirstGoesOn) {
  auto first = Listener::bind(path_, 0600);
  ASSERT_TRUE(first);
  const auto second = Listener::bind(path_, 0600);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, millrace::ErrorCode::in_use);
  EXPECT_TRUE(Connection::connect(path_));
}

TEST_F(ControlListener, ASocketThatADeadCoreLeftIsReplaced) {
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  const auto listener = Listener::bind(path_, 0600);
  EXPECT_TRUE(listener) << listener.error().message;
}

TEST_F(ControlListener, AFileThatIsNoSocketIsLeftAlone) {
  std::ofstream(path_) << "precious";
  EXPECT_FALSE(Listener::bind(path_, 0600));
  std::string text;
  std::ifstream(path_) >> text;
  EXPECT_EQ(text, "precious");
}

TEST_F(ControlListener, APathTooLongForASocketIsNamed) {
  const auto listener = Listener::bind("/tmp/" + std::string(200, 'p'), 0600);
  ASSERT_FALSE(listener);
  EXPECT_EQ(listener.error().code, millrace::ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace millrace::control
