const socket = new WebSocket('ws://localhost:8080/echo');
socket.onmessage = ({ data }) => console.log(data);
socket.onopen = () => socket.send('hello');
