//! As much of an HTTP client as the measurements need: one connection, one request at a time.
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer can take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A connection that is kept open.
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

/// An answer.
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to a port of this machine.
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { stream: BufReader::new(stream), host: format!("127.0.0.1:{port}") })
    }

    /// Sends a request and waits for the answer.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Response> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\naccept: */*\r\n", self.host);
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("content-length: {}\r\n", body.len());
        }
        text += "\r\n";
        text += body;
        self.stream.get_mut().write_all(text.as_bytes())?;
        self.response()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn response(&mut self) -> Result<Response> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, first))?;
        let mut response = Response { status, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                response.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let header = |name| response.all(name).next();
        if let Some(length) = header("content-length").and_then(|text| text.parse().ok()) {
            response.body = vec![0; length];
            self.stream.read_exact(&mut response.body)?;
        } else if header("transfer-encoding") == Some("chunked") {
            response.body = self.chunks()?;
        }
        Ok(response)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16).map_err(|why| Error::new(ErrorKind::InvalidData, why))?;
            let from = body.len();
            // The chunk, and the end of its line.
            body.resize(from + size + 2, 0);
            self.stream.read_exact(&mut body[from..])?;
            body.truncate(from + size);
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

impl Response {
    /// Returns `true` for a status of success.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the values of a header, by its name in lower case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns `true` if the server on a port says that it is ready.
pub fn is_ready(port: u16) -> bool {
    let answer = Client::connect(port).and_then(|mut client| client.request("GET", "/readyz", &[], ""));
    answer.is_ok_and(|answer| answer.is_ok())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::Client;

    #[test]
    fn answers_with_a_length_and_in_chunks_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: a=1; Path=/\r\n\r\none",
                "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n1\r\n!\r\n0\r\n\r\n",
            ] {
                while !lines.next().unwrap().unwrap().is_empty() {}
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut client = Client::connect(port).unwrap();
        let one = client.request("GET", "/", &[], "").unwrap();
        assert_eq!((one.is_ok(), one.body.as_slice()), (true, &b"one"[..]));
        assert_eq!(one.all("set-cookie").collect::<Vec<_>>(), ["a=1; Path=/"]);
        let two = client.request("GET", "/", &[], "").unwrap();
        assert_eq!((two.status, two.body.as_slice()), (404, &b"two!"[..]));
        server.join().unwrap();
    }
}
